"""The DICOM system that a command talks to, as its options name it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dicomio.pacs import ClientTls, Peer
from dicomtools.addresses import ae_title
from dicomtools.config import Values
from dicomtools.problems import CommandProblem


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """How a connection is secured."""

    ca_file: Path | None
    """None: the authorities that the system trusts."""
    cert_file: Path | None
    key_file: Path | None
    insecure: bool


class Addressed(Protocol):
    """Options that name a DICOM system."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def calling_ae_title(self) -> str: ...

    @property
    def called_ae_title(self) -> str: ...

    @property
    def tls(self) -> TlsFiles | None: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """One DICOM system."""

    host: str
    port: int
    calling_ae_title: str
    called_ae_title: str
    tls: TlsFiles | None


def connection(values: Values) -> Connection:
    """Return the system that the options name.

    Raises
    ------
    CommandProblem
        An AE title is none, or the options of TLS do not fit together.
    """
    return Connection(
        host=values.text("hostName"),
        port=values.number("hostPort"),
        calling_ae_title=ae_title(values.text("callingAet"), option="callingAet"),
        called_ae_title=ae_title(values.text("calledAet"), option="calledAet"),
        tls=tls_files(values),
    )


def peer_of(addressed: Addressed) -> Peer:
    """Return how the DICOM client reaches a system."""
    tls = addressed.tls
    return Peer(
        name=addressed.called_ae_title,
        ae_title=addressed.called_ae_title,
        host=addressed.host,
        port=addressed.port,
        calling_ae_title=addressed.calling_ae_title,
        tls=None
        if tls is None
        else ClientTls(tls.ca_file, tls.cert_file, tls.key_file, insecure=tls.insecure),
    )


def tls_files(values: Values) -> TlsFiles | None:
    """Return how the connection is secured; None: not at all.

    Raises
    ------
    CommandProblem
        The options do not fit together, or a file is not there.
    """
    files = {name: _path(values, name) for name in ("caFile", "certFile", "keyFile")}
    insecure = values.flag("insecure")
    if not values.flag("useTls"):
        given = [f"--{name}" for name, path in files.items() if path]
        given += ["--insecure"] if insecure else []
        if given:
            raise CommandProblem(f"{', '.join(given)} means nothing without --useTls.")
        return None
    if (files["certFile"] is None) != (files["keyFile"] is None):
        raise CommandProblem("--certFile and --keyFile belong together: give both or none.")
    for name, path in files.items():
        if path is not None and not path.is_file():
            raise CommandProblem(f"--{name}: there is no file {path}")
    return TlsFiles(files["caFile"], files["certFile"], files["keyFile"], insecure)


def _path(values: Values, name: str) -> Path | None:
    text = values.text(name)
    return Path(text) if text else None
