"""Orthanc as a PACS: its own configuration, store and ports, driven by REST."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.peers.processes import (
    LOOPBACK,
    NotStarted,
    free_ports,
    listens,
    required_program,
    running,
)

START_ATTEMPTS = 3


@dataclass(frozen=True)
class Modality:
    """A DICOM node that Orthanc may send to: the destination of a C-MOVE."""

    ae_title: str
    port: int
    host: str = LOOPBACK


@dataclass(frozen=True)
class OrthancPeer:
    """A running Orthanc."""

    dicom_port: int
    http_port: int
    log_path: Path = field(repr=False)
    ae_title: str = "ORTHANC"
    host: str = LOOPBACK

    def upload(self, files: Iterable[bytes | Path]) -> int:
        """Store Part 10 files by REST; return how many were new."""
        new = 0
        with self._connection() as connection:
            for file in files:
                body = file.read_bytes() if isinstance(file, Path) else file
                answer = self._request(connection, "POST", "/instances", body)
                new += answer["Status"] == "Success"
        return new

    def add_modality(self, modality: Modality) -> None:
        """Make a move destination known, or change it; named by its AE title."""
        self.put(f"/modalities/{modality.ae_title}", _modality_settings(modality))

    def statistics(self) -> Mapping[str, Any]:
        """Return Orthanc's counters: CountInstances, CountSeries …, TotalDiskSize in bytes."""
        answer: Mapping[str, Any] = self.get("/statistics")
        return answer

    def clear(self) -> None:
        """Delete every patient."""
        for patient in self.get("/patients"):
            self.delete(f"/patients/{patient}")

    def get(self, path: str) -> Any:
        """GET, decoded from JSON."""
        with self._connection() as connection:
            return self._request(connection, "GET", path)

    def post(self, path: str, value: object) -> Any:
        """POST a value as JSON."""
        with self._connection() as connection:
            return self._request(connection, "POST", path, json.dumps(value).encode())

    def put(self, path: str, value: object) -> Any:
        """PUT a value as JSON."""
        with self._connection() as connection:
            return self._request(connection, "PUT", path, json.dumps(value).encode())

    def delete(self, path: str) -> Any:
        """DELETE a resource."""
        with self._connection() as connection:
            return self._request(connection, "DELETE", path)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=60)
        try:
            yield connection
        finally:
            connection.close()

    @staticmethod
    def _request(
        connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
    ) -> Any:
        connection.request(method, path, body)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, f"Orthanc: {method} {path}: {response.status} {answer!r}"
        return json.loads(answer) if answer.strip() else None


@contextlib.contextmanager
def orthanc(
    folder: Path, modalities: Iterable[Modality] = (), **options: object
) -> Iterator[OrthancPeer]:
    """Yield an Orthanc that keeps everything below `folder` and listens on free loopback ports.

    Parameters
    ----------
    modalities
        Move destinations; `OrthancPeer.add_modality` adds more later.
    options
        Orthanc's own settings, over ours.
    """
    program = required_program("Orthanc")
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, START_ATTEMPTS + 1):
        dicom_port, http_port = free_ports(2)
        peer = OrthancPeer(dicom_port, http_port, folder / f"orthanc{attempt}.log")
        config = folder / "orthanc.json"
        config.write_text(json.dumps(_settings(folder, peer, modalities) | options))
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(
                    running(
                        [program, str(config)],
                        log_path=peer.log_path,
                        ready=lambda ports=(http_port, dicom_port): all(map(listens, ports)),
                    )
                )
            except NotStarted:
                if attempt == START_ATTEMPTS:
                    raise
                continue
            yield peer
            return


def _settings(folder: Path, peer: OrthancPeer, modalities: Iterable[Modality]) -> dict[str, object]:
    return {
        "Name": peer.ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [],
        "SyncStorageArea": False,
        "HttpPort": peer.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": peer.ae_title,
        "DicomPort": peer.dicom_port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowStore": True,
        "DicomThreadsCount": 8,
        "DicomAssociationCloseDelay": 0,
        "UnknownSopClassAccepted": True,
        "TranscodeDicomProtocol": False,
        "OverwriteInstances": True,
        "SaveJobs": False,
        "DicomModalities": {m.ae_title: _modality_settings(m) for m in modalities},
    }


def _modality_settings(modality: Modality) -> dict[str, object]:
    return {"AET": modality.ae_title, "Host": modality.host, "Port": modality.port, "Timeout": 30}


@pytest.fixture(scope="session")
def orthanc_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancPeer]:
    """One Orthanc for the whole run; use other patients than other tests, or `clear` it first."""
    with orthanc(tmp_path_factory.mktemp("orthanc")) as peer:
        yield peer


@pytest.fixture
def orthanc_peer(tmp_path: Path) -> Iterator[OrthancPeer]:
    """An empty Orthanc of this test's own."""
    with orthanc(tmp_path / "orthanc") as peer:
        yield peer
