"""Deployment files as text: no default password, nothing privileged, no setting that nobody reads."""

from __future__ import annotations

import importlib
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = {
    "store-scp": "store_scp.settings",
    "indexer": "indexer.settings",
    "qr-gateway": "qr_gateway.settings",
}
SHARED = "dicomio.service_settings"
MANIFESTS = sorted((ROOT / "k8s").rglob("*.yaml"))


def documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in MANIFESTS:
        for document in yaml.safe_load_all(path.read_text()):
            yield path, document


def workloads() -> list[Any]:
    return [
        pytest.param(document, id=f"{path.parent.name}-{document['metadata']['name']}")
        for path, document in documents()
        if document["kind"] in ("Deployment", "StatefulSet")
    ]


def known_variables(*modules: str) -> set[str]:
    """Return the environment variables that the settings classes of some modules read."""
    return {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper()
        for module in modules
        for kind in vars(importlib.import_module(module)).values()
        if isinstance(kind, type) and issubclass(kind, BaseSettings)
        for field in kind.model_fields
    }


def secret_names(secrets: list[Any]) -> set[str]:
    return {
        (one if isinstance(one, str) else one.get("target", one.get("path"))).upper()
        for one in secrets
    }


@pytest.mark.parametrize(("service", "module"), SERVICES.items())
def test_compose_sets_only_what_the_service_reads(service: str, module: str) -> None:
    described = COMPOSE["services"][service]

    given = set(described["environment"]) | secret_names(described["secrets"])

    assert given <= known_variables(module, SHARED)


@pytest.mark.parametrize(("service", "module"), SERVICES.items())
def test_kubernetes_sets_only_what_the_service_reads(service: str, module: str) -> None:
    (pod,) = [
        document["spec"]["template"]["spec"]
        for path, document in documents()
        if document["kind"] == "Deployment"
        and document["metadata"]["name"] == service
        and path.parent.name == "base"
    ]
    (common,) = [
        document["data"]
        for path, document in documents()
        if document["kind"] == "ConfigMap" and path.parent.name == "base"
    ]

    given = set(common) | {variable["name"] for variable in pod["containers"][0]["env"]}
    given |= secret_names(pod["volumes"][0]["secret"]["items"])

    assert given <= known_variables(module, SHARED)


def test_compose_publishes_on_loopback_unless_told_otherwise() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]

    assert ports
    for port in ports:
        assert port.startswith(("127.0.0.1:", "${DICOM_ADDRESS:-127.0.0.1}:"))


def test_every_compose_service_has_a_health_check_and_gains_no_privileges() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name


@pytest.mark.parametrize("path", [ROOT / "compose.yaml", *MANIFESTS], ids=lambda p: p.name)
def test_no_password_stands_in_a_file(path: Path) -> None:
    for line in path.read_text().splitlines():
        value = re.search(
            r"(?i)\b(\w*password|\w*secret_key|http_token\w*|database_url)\W*:\s*(\S+)", line
        )
        if value is not None and not line.lstrip().startswith("#"):
            told = value[2].strip("\"'{}[],")
            allowed = ("$$NATS_PASSWORD", "$NATS_PASSWORD", "/run/secrets/", "file:", "./secrets/")
            assert told.startswith(allowed), line


@pytest.mark.parametrize("workload", workloads())
def test_every_pod_is_unprivileged_and_probed(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert "readinessProbe" in container
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    claimed = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", ())}
    assert mounted == claimed | {volume["name"] for volume in pod["volumes"]}


def test_every_resource_of_a_kustomization_exists() -> None:
    for path, document in documents():
        if document["kind"] == "Kustomization":
            for resource in document["resources"]:
                target = path.parent / resource
                assert target.is_file() or (target / "kustomization.yaml").is_file(), target


def test_store_scp_gets_longer_to_stop_than_it_gives_its_associations() -> None:
    (pod,) = [
        document["spec"]["template"]["spec"]
        for _, document in documents()
        if document["kind"] == "Deployment" and document["metadata"]["name"] == "store-scp"
    ]
    environment = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}

    assert pod["terminationGracePeriodSeconds"] > float(environment["STORE_SCP_GRACE_S"])


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_secrets_are_made_once_and_only_their_owner_comes_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["/bin/sh", str(ROOT / "deploy" / "make-secrets.sh"), str(folder)]

    subprocess.run(command, check=True, capture_output=True, timeout=60)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(COMPOSE["secrets"]) <= set(first)
    assert len(set(first.values())) == len(first)
    assert all(len(value) >= 16 and value.strip() == value for value in first.values())
    # NATS takes a password that begins with a digit for a number
    assert first["nats_password"][0].isalpha()
    assert first["postgres_password"] in first["database_url"]


def test_the_image_runs_as_a_number_that_is_not_root_and_checks_every_hash() -> None:
    recipe = (ROOT / "Dockerfile").read_text()

    assert "USER 10001:10001" in recipe
    assert "--require-hashes" in recipe
    # after the one stage that downloads, and checks, nothing comes from the network
    assert recipe.count("pip download") == 1
    assert recipe.count("--no-index") == 3
