"""Settings of exports: environment variables that begin with `INDEXER_EXPORT_`, the key, and the peers."""

from __future__ import annotations

import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from dicomcore.deident.uid_map import KeyedMap
from dicomcore.errors import InvalidRequest
from dicomio.jobs.attempt import Pace
from dicomio.jobs.options import WorkerOptions
from dicomio.peers import Peers, parse_peers, read_peers
from dicomio.sealed import Recipients, load_certificates


class ExportSettings(BaseSettings):
    """Fields that the indexer's settings inherit."""

    deident_key_file: Path | None = None
    """The secret that new UIDs, pseudonyms and shifts of dates are made with, at least 16 bytes; without
    it nothing is anonymised. The same one for ever: another one is another patient."""
    export_bucket: str = ""
    """Empty: the bucket of the instances, below `exports/`."""
    export_map_certificate: Path | None = None
    """PEM: pseudonym maps are sealed to its holder; several in one file are several holders."""
    export_map_bucket: str = ""
    """A bucket that few may read, for pseudonym maps; empty: the export bucket, if they are sealed."""
    export_spool_folder: Path | None = None
    """A folder of this replica alone, on disk, for what is not proven yet; its `export-*` are removed at
    start. None: the system's folder for temporary files."""
    export_jobs: int = Field(default=2, ge=1, le=16)
    """Exports at a time."""
    export_lease_s: float = Field(default=20.0, ge=1.0)
    """A replica that is not heard of for so long has lost its exports."""
    export_ack_wait_s: float = Field(default=30.0, ge=1.0)
    """A crashed replica's exports come to another one after so long."""
    export_keep_days: float = Field(default=30.0, gt=0)
    """How long an export that has ended can be asked about."""
    export_url_ttl_s: int = Field(default=3600, ge=1, le=7 * 86400)
    """How long the address of a file may be used."""
    peers_file: Path | None = None
    """As `QR_GATEWAY_PEERS_FILE`: the same file, for exports to a peer."""
    peers: str = ""
    """As `QR_GATEWAY_PEERS`."""
    replica: str = ""
    """Name of this replica in the ledger; empty: the host's name."""

    def known_peers(self) -> Peers:
        """Return the peers.

        Raises
        ------
        InvalidRequest
            They cannot be understood.
        """
        peers = {} if self.peers_file is None else read_peers(self.peers_file)
        if self.peers.strip():
            peers |= parse_peers(self.peers)
        return Peers(peers)

    def deident_key(self) -> bytes | None:
        """Return the key; None if there is none.

        Raises
        ------
        InvalidRequest
            The file cannot be read, or what it holds could be guessed.
        """
        if self.deident_key_file is None:
            return None
        try:
            key = self.deident_key_file.read_bytes().strip()
        except OSError as exc:
            raise InvalidRequest(
                "INDEXER_DEIDENT_KEY_FILE cannot be read", problem=exc.strerror
            ) from exc
        KeyedMap(key)
        return key

    def map_recipients(self) -> Recipients:
        """Return whom pseudonym maps are sealed to; empty: nobody.

        Raises
        ------
        InvalidRequest
            The certificate cannot be used.
        """
        if self.export_map_certificate is None:
            return ()
        return load_certificates(self.export_map_certificate)

    def export_worker(self) -> WorkerOptions:
        """Return how exports are worked on."""
        return WorkerOptions(
            owner=self.replica or socket.gethostname(),
            jobs=self.export_jobs,
            pace=Pace(lease_s=self.export_lease_s, ack_wait_s=self.export_ack_wait_s),
            keep_s=self.export_keep_days * 86400.0,
        )
