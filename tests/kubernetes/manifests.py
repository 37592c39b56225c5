"""Overlays as kustomize renders them, and the tools that look at them; `make k8s-check` installs these."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
OVERLAYS = ("dev", "prod")
TOOLS = ROOT / ".k8s-check"
_PATH = os.pathsep.join(map(str, (TOOLS / "bin", TOOLS / "go" / "bin", os.environ.get("PATH", ""))))

WHOLE = {
    "private-ca": ("ca.pem",),
    "dicom-tls": ("tls.crt", "tls.key", "ca.crt"),
    "export-maps": ("maps.pem",),
}
"""What is in volumes that are mounted whole, as the components that mount them say."""
Manifest = dict[str, Any]


def tool(name: str) -> str | None:
    """Return the path of a program, of ours or of the machine's."""
    return shutil.which(name, path=_PATH)


def kustomize() -> list[str] | None:
    """Return the command that renders a kustomization."""
    if (found := tool("kustomize")) is not None:
        return [found, "build"]
    if (found := tool("kubectl")) is not None:
        return [found, "kustomize"]
    return None


def render(folder: Path) -> str:
    """Return all manifests of a kustomization."""
    command = kustomize()
    assert command is not None
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Rendered:
    """The manifests of one overlay."""

    manifests: Sequence[Manifest]

    @classmethod
    def of(cls, text: str) -> Rendered:
        return cls([one for one in yaml.safe_load_all(text) if one])

    def kind(self, *kinds: str) -> list[Manifest]:
        return [one for one in self.manifests if one["kind"] in kinds]

    def one(self, kind: str, name: str) -> Manifest:
        (found,) = (m for m in self.kind(kind) if m["metadata"]["name"] == name)
        return found

    def workloads(self) -> list[Manifest]:
        return self.kind("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")

    def selected(self, selector: Manifest) -> list[Manifest]:
        """Return the workloads whose pods a label selector means; an empty one means all."""
        return [one for one in self.workloads() if matches(selector, labels_of(one))]


def labels_of(workload: Manifest) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector means what has these labels."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    rules = selector.get("matchExpressions", ())
    assert all(rule["operator"] == "In" for rule in rules)
    return exact and all(labels.get(rule["key"]) in rule["values"] for rule in rules)


def pod_of(workload: Manifest) -> Manifest:
    return dict(workload["spec"]["template"]["spec"])


def ports_of(workload: Manifest) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"]
        for container in pod_of(workload)["containers"]
        for port in container.get("ports", ())
    }


def environment_of(workload: Manifest) -> dict[str, str]:
    (container,) = pod_of(workload)["containers"]
    return {one["name"]: one["value"] for one in container.get("env", ())}


def mounted_files(workload: Manifest) -> set[str]:
    """Return the paths of files that read-only mounts of Secrets and ConfigMaps give a container.

    Of what is mounted whole, the files are those that their component says are in it.
    """
    pod = pod_of(workload)
    (container,) = pod["containers"]
    files = set()
    for volume in pod["volumes"]:
        (mount,) = (m for m in container["volumeMounts"] if m["name"] == volume["name"])
        if "secret" in volume or "configMap" in volume:
            assert mount["readOnly"] is True
            items = volume.get("secret", {}).get("items", ())
            names = [item["path"] for item in items] or WHOLE[volume["name"]]
            files |= {f"{mount['mountPath']}/{name}" for name in names}
    return files


def known_variables() -> set[str]:
    """Return every environment variable that a service reads."""
    modules = ("store_scp.settings", "indexer.settings", "qr_gateway.settings")
    return {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper()
        for module in (*modules, "dicomio.service_settings")
        for kind in vars(importlib.import_module(module)).values()
        if isinstance(kind, type) and issubclass(kind, BaseSettings)
        for field in kind.model_fields
    }


def peers_of(policy: Manifest) -> Iterator[tuple[str, Manifest, list[Manifest]]]:
    """Yield direction, the other side and the ports of each rule of a network policy."""
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(direction, ()):
            for peer in rule[side]:
                yield direction, peer, rule["ports"]
