"""DCMTK's programs as peers: `dcmqrscp` and `storescp` to talk to, and its SCUs to be called by."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers.processes import (
    LOOPBACK,
    NotStarted,
    free_ports,
    listens,
    required_program,
    running,
)

START_ATTEMPTS = 3
TOOL_TIMEOUT_S = 240
STUDY_ROOT = "-S"
_Command = Callable[[int], Sequence[str]]
"""The arguments of a server that is to listen on a port."""


@dataclass(frozen=True)
class Node:
    """Where a DICOM application entity listens."""

    ae_title: str
    port: int
    host: str = LOOPBACK


# ── SCPs ────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def dcmqrscp(
    folder: Path, destinations: Iterable[Node] = (), *options: str, ae_title: str = "DCMQRSCP"
) -> Iterator[Node]:
    """Yield a Query/Retrieve SCP that keeps its archive below `folder`; `dcmsend` fills it.

    Parameters
    ----------
    destinations
        Where C-MOVE may send to; they are fixed while it runs.
    """
    archive = folder / "archive"
    archive.mkdir(parents=True, exist_ok=True)
    config = folder / "dcmqrscp.cfg"

    def command(port: int) -> Sequence[str]:
        config.write_text(_configuration(ae_title, port, archive, destinations))
        return ["-v", "-c", str(config), *options, str(port)]

    with _server("dcmqrscp", command, folder) as port:
        yield Node(ae_title, port)


@contextlib.contextmanager
def storescp(folder: Path, *options: str, ae_title: str = "STORESCP") -> Iterator[Node]:
    """Yield a Storage SCP that writes what it receives, bit by bit, into `folder`/received."""
    received = folder / "received"
    received.mkdir(parents=True, exist_ok=True)

    def command(port: int) -> Sequence[str]:
        return ["-pm", "+xa", "+B", "-aet", ae_title, "-od", str(received), *options, str(port)]

    with _server("storescp", command, folder) as port:
        yield Node(ae_title, port)


def _configuration(ae_title: str, port: int, archive: Path, destinations: Iterable[Node]) -> str:
    hosts = "\n".join(
        f"node{number} = ({node.ae_title}, {node.host}, {node.port})"
        for number, node in enumerate(destinations)
    )
    return (
        f"NetworkTCPPort = {port}\nMaxPDUSize = 131072\nMaxAssociations = 32\n"
        f"HostTable BEGIN\n{hosts}\nHostTable END\n"
        "VendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{ae_title} {archive} RW (500, 1024mb) ANY\nAETable END\n"
    )


@contextlib.contextmanager
def _server(name: str, command: _Command, folder: Path) -> Iterator[int]:
    program = required_program(name)
    for attempt in range(1, START_ATTEMPTS + 1):
        (port,) = free_ports(1)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(
                    running(
                        [program, *command(port)],
                        log_path=folder / f"{name}{attempt}.log",
                        ready=lambda port=port: listens(port),  # type: ignore[misc]
                    )
                )
            except NotStarted:
                if attempt == START_ATTEMPTS:
                    raise
                continue
            yield port
            return


# ── SCUs ────────────────────────────────────────────────────────────────────────────────────


def echoscu(
    node: Node, *options: str, calling: str = "ECHOSCU"
) -> subprocess.CompletedProcess[str]:
    """Run C-ECHO."""
    return _tool("echoscu", *_titles(node, calling), *options, *_address(node))


def findscu(
    node: Node, keys: Mapping[str, str], *options: str, calling: str = "FINDSCU"
) -> subprocess.CompletedProcess[str]:
    """Run C-FIND, Study Root; the responses are in the output."""
    arguments = [*_titles(node, calling), *options, *_keys(keys)]
    return _tool("findscu", STUDY_ROOT, *arguments, *_address(node))


def movescu(
    node: Node, keys: Mapping[str, str], *options: str, destination: str, calling: str = "MOVESCU"
) -> subprocess.CompletedProcess[str]:
    """Run C-MOVE, Study Root."""
    arguments = [*_titles(node, calling), "-aem", destination, *options, *_keys(keys)]
    return _tool("movescu", STUDY_ROOT, *arguments, *_address(node))


def getscu(
    node: Node, keys: Mapping[str, str], folder: Path, *options: str, calling: str = "GETSCU"
) -> subprocess.CompletedProcess[str]:
    """Run C-GET, Study Root, and write what comes, bit by bit, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [*_titles(node, calling), "+B", "-od", str(folder), *options, *_keys(keys)]
    return _tool("getscu", STUDY_ROOT, *arguments, *_address(node))


def storescu(
    node: Node, files: Iterable[Path], *options: str, calling: str = "STORESCU"
) -> subprocess.CompletedProcess[str]:
    """Send files, or folders with `+sd +r`; it stops at the first failure."""
    arguments = [*_titles(node, calling), *options, *_address(node)]
    return _tool("storescu", *arguments, *map(str, files))


def dcmsend(
    node: Node, files: Iterable[Path], *options: str, calling: str = "DCMSEND"
) -> subprocess.CompletedProcess[str]:
    """Send files, each in its own transfer syntax where it is accepted, or folders with `+sd +r`."""
    arguments = [*_titles(node, calling), *options, *_address(node)]
    return _tool("dcmsend", *arguments, *map(str, files))


def _titles(node: Node, calling: str) -> Sequence[str]:
    return ("-v", "-aet", calling, "-aec", node.ae_title)


def _address(node: Node) -> Sequence[str]:
    return (node.host, str(node.port))


def _keys(keys: Mapping[str, str]) -> Iterator[str]:
    for keyword, value in keys.items():
        yield "-k"
        yield f"{keyword}={value}"


def _tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [required_program(name), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=TOOL_TIMEOUT_S,
        check=False,
    )
