"""qr-gateway's own settings: environment variables that begin with `QR_GATEWAY_`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

from pydantic import Field

from dicomio.http import AccessSettings, OnwardOptions
from dicomio.jobs.attempt import Pace
from dicomio.jobs.options import WorkerOptions
from dicomio.peers import AeTitle, Peers, parse_peers, read_peers
from dicomio.service_settings import shared_config
from qr_gateway.diagnosis import Receiver


class Settings(AccessSettings):
    """Loaded once, by `dicomio.service_settings.load`, and handed down."""

    model_config = shared_config("QR_GATEWAY_")

    peers_file: Path | None = None
    """JSON `{"peers": {NAME: {"ae_title": …, "host": …, "port": …}}}`, or TOML with `[peers.NAME]`."""
    peers: str = ""
    """JSON `{NAME: {…}}`; a name that is in the file too is this one."""
    move_destination: AeTitle | None = None
    """AE title of store-scp as the peers know it, for peers that do not name one."""

    http_host: str = "127.0.0.1"
    """Beyond loopback only with tokens or an identity provider."""
    http_port: int = Field(default=8080, ge=0, le=65535)

    receiver_host: str = ""
    """Where this service reaches store-scp, for the diagnosis of peers; empty: not known."""
    receiver_port: int = Field(default=104, ge=1, le=65535)
    """On which store-scp listens."""

    indexer_url: str = ""
    """`http://host:port` of the indexer, whose paths are handed on, so that the web page has one origin;
    empty: they are not there."""

    replica: str = ""
    """Name of this replica in the ledger; empty: the host's name."""
    jobs: int = Field(default=4, ge=1, le=64)
    """Retrievals at a time."""
    jobs_per_peer: int = Field(default=2, ge=1, le=64)
    """Of these, against one peer; replicas add up."""
    lease_s: float = Field(default=20.0, ge=1.0)
    """A replica that is not heard of for so long has lost its jobs."""
    ack_wait_s: float = Field(default=30.0, ge=1.0)
    """A crashed replica's jobs come to another one after so long."""
    keep_days: float = Field(default=30.0, gt=0)
    """How long a retrieval that has ended can be asked about."""
    publish_timeout_s: float = Field(default=5.0, gt=0)
    high_water: float | None = Field(default=0.95, gt=0, le=1)
    """Share of the object store's capacity above which C-GET takes nothing."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"

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
        return Peers(peers, move_destination=self.move_destination)

    def receiver(self) -> Receiver | None:
        """Return where store-scp listens; None if that is not known."""
        if not self.receiver_host or self.move_destination is None:
            return None
        return Receiver(self.move_destination, self.receiver_host, self.receiver_port)

    def indexer(self) -> OnwardOptions | None:
        """Return where the indexer's paths go; None: nowhere.

        Raises
        ------
        InvalidRequest
            It is no address.
        """
        return OnwardOptions(url=self.indexer_url.rstrip("/")) if self.indexer_url else None

    def worker(self) -> WorkerOptions:
        """Return how the worker works."""
        return WorkerOptions(
            owner=self.replica or socket.gethostname(),
            jobs=self.jobs,
            jobs_per_peer=self.jobs_per_peer,
            pace=Pace(lease_s=self.lease_s, ack_wait_s=self.ack_wait_s),
            keep_s=self.keep_days * 86400.0,
        )
