"""The Docker engine that runs, or one of our own on its own data and socket; docker and compose."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 120.0
COMPOSE = "github.com/docker/compose/v2/cmd@v2.40.3"
"""Built where no `docker compose` of version 2.24 or later is installed."""
_CLASSIC_CLIENTS = ("docker", "/usr/bin/docker", "/usr/local/bin/docker")


class CommandFailed(Exception):
    """The command, and what it printed."""


@dataclass(frozen=True)
class Engine:
    """One engine: `folder` is ours to keep things in."""

    folder: Path
    host: str | None
    """`DOCKER_HOST`; None: what the client finds by itself."""

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[Self]:
        """Yield the engine that answers, or start one and leave nothing of it running."""
        folder.mkdir(parents=True, exist_ok=True)
        found = cls(folder, os.environ.get("DOCKER_HOST"))
        if found.answers():
            say(
                f"using the Docker engine that runs: {found.docker('version', '--format', '{{.Server.Version}}')}"
            )
            yield found
            return
        own = cls(folder, f"unix://{folder / 'docker.sock'}")
        process = own._start()
        try:
            say(f"started dockerd {own.docker('version', '--format', '{{.Server.Version}}')}")
            yield own
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_TIMEOUT_S)
            left = _processes_of(folder)
            say(f"stopped dockerd; processes left: {len(left)}")
            assert not left, left

    def answers(self) -> bool:
        """Whether there is an engine."""
        command = [_client(), "version", "--format", "{{.Server.Version}}"]
        return (
            subprocess.run(command, env=self._env({}), check=False, capture_output=True).returncode
            == 0
        )

    def docker(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what a docker command prints; its errors are in the exception."""
        return self._run([_client(), *arguments], {}, stdin)

    def build(self, *arguments: str) -> None:
        """Build an image with BuildKit, at low priority."""
        self._run(
            ["nice", _client(), "build", "--quiet", *arguments], {"DOCKER_BUILDKIT": "1"}, None
        )

    def compose(
        self, *arguments: str, environment: Mapping[str, str], stdin: str | None = None
    ) -> str:
        """Return what a compose command prints."""
        return self._run([*self._compose_client(), *arguments], environment, stdin)

    def _run(self, command: list[str], environment: Mapping[str, str], stdin: str | None) -> str:
        done = subprocess.run(
            command,
            env=self._env(environment),
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
        )
        if done.returncode != 0:
            raise CommandFailed(f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}")
        return done.stdout.strip()

    def _env(self, more: Mapping[str, str]) -> dict[str, str]:
        host = {} if self.host is None else {"DOCKER_HOST": self.host}
        return {**os.environ, **host, **more}

    def _start(self) -> subprocess.Popen[bytes]:
        assert shutil.which("dockerd"), "install Debian's docker.io, as root"
        with (self.folder / "dockerd.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    "dockerd",
                    f"--host={self.host}",
                    f"--data-root={self.folder / 'data'}",
                    f"--exec-root={self.folder / 'exec'}",
                    f"--pidfile={self.folder / 'dockerd.pid'}",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            text = (self.folder / "dockerd.log").read_text(errors="replace")
            assert process.poll() is None, text[-4000:]
            assert time.monotonic() < deadline, text[-4000:]
            time.sleep(0.2)
        return process

    def _compose_client(self) -> list[str]:
        if _new_enough([_client(), "compose"]):
            return [_client(), "compose"]
        if _new_enough(["docker-compose"]):
            return ["docker-compose"]
        return [str(self._built_compose())]

    def _built_compose(self) -> Path:
        """Return compose made from its Go module, as its project publishes it."""
        program = self.folder / "docker-compose"
        if not program.exists():
            say("building docker compose from its Go module")
            module = self.folder / "compose-module"
            module.mkdir(exist_ok=True)
            for command in (
                *([] if (module / "go.mod").exists() else [["go", "mod", "init", "tools"]]),
                ["go", "get", COMPOSE],
                ["nice", "go", "build", "-o", str(program), COMPOSE.partition("@")[0]],
            ):
                done = subprocess.run(
                    command, cwd=module, check=False, capture_output=True, text=True
                )
                assert done.returncode == 0, done.stderr[-4000:]
        return program


def say(text: str) -> None:
    """Tell the person who waits how far it is."""
    print(f"compose-test: {text}", file=sys.stderr, flush=True)


def _client() -> str:
    """Return a docker client that builds with BuildKit: with the plugin, or old enough to need none."""
    for client in _CLASSIC_CLIENTS:
        found = shutil.which(client)
        if found is None:
            continue
        if _succeeds([found, "buildx", "version"]) or _major([found, "--version"]) < 23:
            return found
    raise AssertionError("install Debian's docker.io, or docker with its buildx plugin")


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _major(command: list[str]) -> int:
    found = re.search(
        r"(\d+)\.", subprocess.run(command, check=False, capture_output=True, text=True).stdout
    )
    return 0 if found is None else int(found[1])


def _new_enough(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            [*command, "version", "--short"], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        return False
    version = re.match(r"v?(\d+)\.(\d+)", done.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= (2, 24)


def _processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that were started on `folder`, ours apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if re.search(
                rf"(dockerd|containerd|docker-proxy|runc).*{re.escape(str(folder))}", line
            ):
                found.append(line)
    return found
