"""The images that compose.yaml names: ours by our recipes, the others pulled or stood in for.

`COMPOSE_TEST_IMAGES=registry` pulls the official ones; otherwise bases come from debootstrap and Debian
packages, and the servers' programs from their PyPI wheels: no image registry is needed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.compose.engine import Engine, say

ROOT = Path(__file__).parents[2]
STANDINS = Path(__file__).parent / "standins"
SERVICES = ("store-scp", "indexer", "qr-gateway", "cli")
SUITE = "trixie"
TAG = "compose-test"
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "timeout", "proxy")


@dataclass
class Images:
    """What was built; `replaced` is what compose is told instead of the official names."""

    engine: Engine
    official: bool = field(
        default_factory=lambda: os.environ.get("COMPOSE_TEST_IMAGES") == "registry"
    )
    base: str = "python:3.13-slim-trixie"
    replaced: dict[str, str] = field(default_factory=dict)

    def make_all(self) -> None:
        """Build every image, one after the other."""
        if not self.official:
            self._make_standins()
        for service in SERVICES:
            say(f"building dicomtools/{service}")
            self._build(service, self.of(service))
        self._make_minio()

    def built_anew(self, service: str) -> str:
        """Return the tag of an image that was built once more, with nothing of the builds before."""
        tag = f"dicomtools/{service}:{TAG}-anew"
        say(f"building dicomtools/{service} once more, from nothing")
        self._build(service, tag, "--no-cache")
        return tag

    def _build(self, service: str, tag: str, *options: str) -> None:
        arguments = (f"SERVICE={service}", f"PYTHON_IMAGE={self.base}")
        self.engine.build(
            *self._secrets(),
            *(f"--build-arg={one}" for one in arguments),
            *options,
            f"--tag={tag}",
            str(ROOT),
        )

    @staticmethod
    def of(name: str) -> str:
        """Return the tag of one of our own images; MinIO's is that of its recipe."""
        recipe = (ROOT / "deploy" / "minio" / "Dockerfile").read_bytes()
        tag = hashlib.sha256(recipe).hexdigest()[:12] if name == "minio" else TAG
        return f"dicomtools/{name}:{tag}"

    def override(self, *, seaweedfs: bool = False) -> dict[str, object]:
        """Return what compose is told besides its own file: which images, and nothing else."""
        services = {name: {"image": self.of(name)} for name in SERVICES[:3]}
        services["demo-pacs"] = {"image": self.of("cli")}
        if not seaweedfs:
            services["s3"] = {"image": self.of("minio")}
        if not self.official:
            services |= {name: {"image": _standin(name)} for name in ("nats", "postgres")}
            if seaweedfs:
                services["s3"] = {"image": _standin("seaweedfs")}
        return {"services": services}

    def bytes_above_base(self, service: str) -> int:
        """Return the size of an image without that of the one it was built from."""
        sizes = self.engine.docker(
            "image", "inspect", "--format", "{{.Size}}", self.of(service), self.base
        )
        image, base = (int(size) for size in sizes.split())
        return image - base

    def _make_minio(self) -> None:
        """Build MinIO once for each recipe: it takes minutes, and its source is pinned there."""
        if self.engine.docker("image", "ls", "--quiet", self.of("minio")):
            return
        say("building dicomtools/minio from source, which takes minutes")
        bases = {"GO_IMAGE": "golang", "RUNTIME_IMAGE": "busybox"}
        stood_in = {} if self.official else bases
        self.engine.build(
            *self._secrets(),
            *(f"--build-arg={name}={_standin(image)}" for name, image in stood_in.items()),
            f"--tag={self.of('minio')}",
            str(ROOT / "deploy" / "minio"),
        )

    def _make_standins(self) -> None:
        self.base = _standin("python")
        known = self.engine.docker("image", "ls", "--quiet", self.base)
        if not known:
            self._make_base()
        say("building stand-ins for the servers")
        with tempfile.TemporaryDirectory() as context:
            for source in (*STANDINS.iterdir(), *map(_program, ("nats-server", "weed"))):
                shutil.copy(source, context)
            goroot = subprocess.run(
                ["go", "env", "GOROOT"], check=False, capture_output=True, text=True
            )
            assert goroot.returncode == 0, "install Go: MinIO is built from source"
            shutil.copytree(goroot.stdout.strip(), Path(context, "go"), symlinks=True)
            for target in ("busybox", "nats", "seaweedfs", "postgres", "golang"):
                self.engine.build(
                    f"--target={target}",
                    f"--build-arg=DEBIAN={self.base}",
                    f"--tag={_standin(target)}",
                    context,
                )

    def _make_base(self) -> None:
        assert shutil.which("debootstrap"), "install Debian's debootstrap, as root"
        say(f"making a base image with debootstrap {SUITE}")
        with tempfile.TemporaryDirectory(dir=self.engine.folder) as folder:
            root, archive = Path(folder, "root"), Path(folder, "root.tar")
            packages = "--include=ca-certificates,python3,python3-venv"
            done = subprocess.run(
                ["nice", "debootstrap", "--variant=minbase", packages, SUITE, str(root)],
                check=False,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout[-4000:]
            (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
            tar = [
                "tar",
                "-C",
                str(root),
                "--one-file-system",
                "--exclude=./var/cache/apt/archives/*.deb",
            ]
            subprocess.run([*tar, "-cf", str(archive), "."], check=True)
            self.engine.docker("import", "--change", 'CMD ["python3"]', str(archive), self.base)

    def _secrets(self) -> list[str]:
        """Return what the build needs of this machine to reach the package index, for no layer."""
        configuration = self.engine.folder / "pip.conf"
        configuration.write_text(_pip_configuration())
        configuration.chmod(0o600)
        secrets = [f"--secret=id=pip_conf,src={configuration}"]
        if _CA_BUNDLE.is_file():
            secrets.append(f"--secret=id=ca_bundle,src={_CA_BUNDLE}")
        return secrets


def _standin(name: str) -> str:
    return f"dicomtools-standin/{name}:{TAG}"


def _program(name: str) -> Path:
    return Path(sysconfig.get_path("scripts")) / name


def _pip_configuration() -> str:
    """Return pip's effective options for reaching an index, as a configuration file."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    options = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        options[name.rpartition(".")[2]] = value.strip("'\"").replace("\\n", "\n    ")
    kept = [f"{name} = {options[name]}" for name in _PIP_OPTIONS if name in options]
    return "\n".join(["[global]", *kept, f"cert = {_CA_BUNDLE}", ""])
