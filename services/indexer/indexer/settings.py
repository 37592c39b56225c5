"""The indexer's own settings: environment variables that begin with `INDEXER_`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from dicomio.http import AccessSettings
from dicomio.service_settings import shared_config
from indexer.app import IndexerOptions
from indexer.consume import ConsumeOptions
from indexer.exporting.settings import ExportSettings


class Settings(AccessSettings, ExportSettings):
    """Loaded once, by `dicomio.service_settings.load`, and handed down."""

    model_config = shared_config("INDEXER_")

    database_url: SecretStr
    """`postgresql://user:password@host/database`, or `sqlite:////path` for a single replica."""

    http_host: str = "127.0.0.1"
    """Beyond loopback only with tokens or an identity provider."""
    http_port: int = Field(default=8082, ge=0, le=65535)

    batch: int = Field(default=256, ge=1, le=4096)
    """Announcements in one transaction."""
    readers: int = Field(default=8, ge=1, le=64)
    """Objects read at once."""
    ack_wait_s: float = Field(default=30.0, ge=1.0)
    """A crashed replica's announcements come to another one after so long."""
    sweep_every_s: float = Field(default=10.0, gt=0)
    """How often the outbox is looked into."""
    pack_quiet_s: float = Field(default=5.0, ge=0)
    """A series is packed when nothing of it came for so long."""
    stop_timeout_s: float = Field(default=20.0, ge=0)
    """How long the batch at hand may go on after SIGTERM; less than the pod's grace period."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def indexer(self) -> IndexerOptions:
        """Return how the indexer works."""
        return IndexerOptions(
            consume=ConsumeOptions(
                batch=self.batch, readers=self.readers, ack_wait_s=self.ack_wait_s
            ),
            sweep_every_s=self.sweep_every_s,
            pack_quiet_s=self.pack_quiet_s,
            stop_timeout_s=self.stop_timeout_s,
        )
