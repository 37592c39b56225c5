"""Deployment files as text: no default password, nothing privileged, no setting that nobody reads."""

from __future__ import annotations

import importlib
import json
import os
import re
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from dicomio.http import Role
from dicomio.http.tokens import read_tokens
from dicomio.service_settings import AuditSettings, TracingSettings, load

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


def mounted(secrets: list[Any]) -> set[str]:
    """The names of the files that a container finds."""
    return {one if isinstance(one, str) else one.get("target", one.get("path")) for one in secrets}


def secret_names(secrets: list[Any]) -> set[str]:
    """The variables that files stand for: those named like one; the others a variable names."""
    return {name.upper() for name in mounted(secrets) if "." not in name}


def named_files(environment: dict[str, str], folder: str) -> set[str]:
    """The files of secrets that variables name."""
    return {
        value.removeprefix(folder)
        for value in environment.values()
        if str(value).startswith(folder)
    }


@pytest.mark.parametrize(("service", "module"), SERVICES.items())
def test_compose_sets_only_what_the_service_reads(service: str, module: str) -> None:
    described = COMPOSE["services"][service]

    given = set(described["environment"]) | secret_names(described["secrets"])

    assert given <= known_variables(module, SHARED)
    files = {name for name in mounted(described["secrets"]) if "." in name}
    assert named_files(described["environment"], "/run/secrets/") == files


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

    environment = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    items = pod["volumes"][0]["secret"]["items"]
    given = set(common) | set(environment) | secret_names(items)

    assert given <= known_variables(module, SHARED)
    files = {name for name in mounted(items) if "." in name}
    assert named_files(environment, "/run/secrets/dicomtools/") == files
    # what a mount takes out of the Secret is what `make secrets` puts there
    assert {item["key"] for item in items} <= made_secrets()


def test_compose_publishes_on_loopback_unless_told_otherwise() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]

    assert ports
    for port in ports:
        assert port.startswith(("127.0.0.1:", "${DICOM_ADDRESS:-127.0.0.1}:"))


def test_every_compose_service_has_a_health_check_and_gains_no_privileges() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert {"memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        assert not service.get("privileged"), name


def test_compose_waits_for_what_is_healthy_and_keeps_the_networks_apart() -> None:
    services = COMPOSE["services"]
    networks = {name: set(service["networks"]) for name, service in services.items()}

    for service in SERVICES:
        needed = {"nats", "s3"} | ({"postgres"} if service == "indexer" else set())
        assert services[service]["depends_on"] == {
            one: {"condition": "service_healthy"} for one in needed
        }
        assert networks[service] == {"exposed", "services", "datastore"}
    assert networks["nats"] == {"services"}
    assert networks["s3"] == networks["postgres"] == {"datastore"}
    inside = {name for name, network in COMPOSE["networks"].items() if network}
    assert inside == {"services", "datastore"}
    assert all(COMPOSE["networks"][name] == {"internal": True} for name in inside)


def test_with_external_servers_none_of_ours_starts_and_every_connection_is_verified() -> None:
    class Loader(yaml.SafeLoader):
        """Knows compose's own tags; what they say is left to compose."""

    Loader.add_multi_constructor(
        "!",
        lambda loader, _, node: (
            loader.construct_sequence(node, deep=True)
            if isinstance(node, yaml.SequenceNode)
            else loader.construct_mapping(node)
            if isinstance(node, yaml.MappingNode)
            else None
        ),
    )
    external = yaml.load((ROOT / "compose.external.yaml").read_text(), Loader)  # noqa: S506

    for service, module in SERVICES.items():
        described = external["services"][service]
        environment = COMPOSE["services"][service]["environment"] | described["environment"]
        given = set(environment) | secret_names(described["secrets"])
        assert given <= known_variables(module, SHARED)
        files = {name for name in mounted(described["secrets"]) if "." in name}
        assert named_files(environment, "/run/secrets/") == files
        assert environment["S3_SECURE"] == "true"
        assert environment["S3_CA_FILE"] == environment["NATS_CA_FILE"] == "/run/secrets/ca.pem"
    gone = {name for name, described in external["services"].items() if described is None}
    assert gone == {"nats", "s3", "postgres"}


def test_pseudonym_maps_are_sealed_with_what_is_mounted() -> None:
    maps = yaml.safe_load((ROOT / "compose.maps.yaml").read_text())
    described = maps["services"]["indexer"]

    assert set(described["environment"]) <= known_variables(SERVICES["indexer"])
    assert named_files(described["environment"], "/run/secrets/") == mounted(described["secrets"])
    assert {one["source"] for one in described["secrets"]} == set(maps["secrets"])
    # the key that opens them is no service's
    assert [Path(one["file"].rpartition("/")[2]).suffix for one in maps["secrets"].values()] == [
        ".pem"
    ]


def test_nats_writes_every_message_before_it_acknowledges() -> None:
    compose = (ROOT / "deploy" / "nats.conf").read_text()
    (dev,) = [
        document["data"]["dicomtools.conf"]
        for path, document in documents()
        if document["kind"] == "ConfigMap" and path.parent.name == "dev"
    ]

    for configuration in (compose, dev):
        assert "jetstream { store_dir: /data, sync_interval: always }" in configuration
    # and the same rights in both: tests/integration/test_nats_security.py tries those of the first
    rights = re.compile(r"^authorization \{$.*?^\}$", re.MULTILINE | re.DOTALL)
    assert rights.findall(compose) == rights.findall(dev)
    assert len(rights.findall(compose)) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_s_health_is_its_readiness(service: str) -> None:
    # given: a service that says it is ready, and then that it is not
    statuses = [200, 503]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(statuses.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment = {
            **os.environ,
            "SERVICE": service,
            f"{service.replace('-', '_').upper()}_HTTP_PORT": str(server.server_port),
        }
        command = [sys.executable, str(ROOT / "deploy" / "healthcheck.py")]

        # when: asked, twice, and once more when nobody listens
        codes = [subprocess.run(command, env=environment, check=False).returncode for _ in range(2)]
        server.shutdown()
        thread.join()
    codes.append(subprocess.run(command, env=environment, check=False).returncode)

    assert codes == [0, 1, 1]


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


def made_secrets() -> set[str]:
    """The names of the files that make-secrets.sh writes."""
    script = (ROOT / "deploy" / "make-secrets.sh").read_text()
    return set(re.findall(r"^keep_or_make (\S+)", script, re.MULTILINE))


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_the_services_understand_the_secrets_that_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: new secrets, and a caller's name added to the file of tokens by hand
    folder = tmp_path / "secrets"
    command = ["/bin/sh", str(ROOT / "deploy" / "make-secrets.sh"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    tokens_file = folder / "http_tokens.toml"
    added = f'\n[tokens.qa]\nsha256 = "{"0" * 64}"\nroles = ["reader"]\n'
    tokens_file.write_text(tokens_file.read_text() + added)
    for name in ("SECRETS_DIR", "AUDIT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRETS_DIR", str(folder))

    # when
    tokens = {one.name: one for one in read_tokens(tokens_file)}
    audit, _ = load(AuditSettings, TracingSettings)

    # then: one token may do everything, the other read metrics and no patient; the key is long enough
    assert tokens["administrator"].accepts((folder / "http_token").read_text())
    assert tokens["administrator"].roles == {Role.ADMIN}
    assert tokens["monitoring"].accepts((folder / "monitor_token").read_text())
    assert tokens["monitoring"].roles == {Role.MONITOR}
    assert tokens["qa"].roles == {Role.READER}
    assert audit.options().key == (folder / "audit_key").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_secrets_are_made_once_and_only_their_owner_comes_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["/bin/sh", str(ROOT / "deploy" / "make-secrets.sh"), str(folder)]

    subprocess.run(command, check=True, capture_output=True, timeout=60)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {described["file"].rpartition("/")[2] for described in COMPOSE["secrets"].values()}
    assert files <= set(first)
    assert len(set(first.values())) == len(first)
    assert all(len(value) >= 16 and value.strip() == value for value in first.values())
    # NATS takes a password that begins with a digit for a number
    assert first["nats_password"][0].isalpha()
    assert first["postgres_password"] in first["database_url"]


def test_the_image_runs_as_a_number_that_is_not_root_and_checks_every_hash() -> None:
    recipe = (ROOT / "Dockerfile").read_text()

    assert "USER 10001:10001" in recipe
    # whatever is installed has a hash in the lock, or is our own wheel, without the network
    assert recipe.count("pip install") == 1
    assert recipe.count(" install --quiet") == 3
    assert recipe.count("--require-hashes") == 2
    assert recipe.count("--no-index") == 2
    # engines that can reach no registry can fetch no frontend
    assert not recipe.startswith("# syntax")


def test_the_image_tells_the_version_of_the_project() -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = yaml.safe_load((ROOT / "k8s" / "base" / "kustomization.yaml").read_text())

    assert re.findall(r"^ARG VERSION=(.*)$", recipe, re.MULTILINE) == [project["version"]]
    assert {image["newTag"] for image in base["images"]} == {project["version"]}


@pytest.mark.skipif(os.name != "posix", reason="a script stands in for pip")
def test_of_the_lock_an_image_gets_what_its_extra_needs_with_every_hash(tmp_path: Path) -> None:
    # given: a lock of three packages, and a pip that resolves to two of them and to us
    entry = "{}=={} \\\n    --hash=sha256:{}\n    --hash=sha256:{}\n"
    lock = tmp_path / "requirements.lock"
    texts = [entry.format(*one) for one in (("a-b", "1.0", "aa", "bb"), ("c", "2", "cc", "dd"))]
    texts.append("d==3 ; sys_platform == 'win32' \\\n    --hash=sha256:ee\n")
    lock.write_text("".join(texts))

    # when, then: these two, whole; what the lock does not have is an error that names it
    assert _locked(lock, tmp_path, [("A.B", "1.0"), ("dicomtools", "9"), ("d", "3")]) == (
        0,
        texts[0] + texts[2],
    )
    assert _locked(lock, tmp_path, [("c", "2.1")]) == (1, "not in requirements.lock: c==2.1\n")


def _locked(lock: Path, folder: Path, resolved: list[tuple[str, str]]) -> tuple[int, str]:
    """Run deploy/locked.py with a pip that resolves to what is given."""
    report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in resolved]}
    pip = folder / "pip"
    pip.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"open(sys.argv[sys.argv.index('--report') + 1], 'w').write({json.dumps(report)!r})\n"
    )
    pip.chmod(0o700)
    command = [sys.executable, str(ROOT / "deploy" / "locked.py"), str(lock), str(pip), "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr
