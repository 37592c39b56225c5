"""store-scp's own settings: environment variables that begin with `STORE_SCP_`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from dicomio.http import AccessSettings, is_loopback
from dicomio.service_settings import shared_config
from store_scp.callers import parse_callers
from store_scp.options import ScpOptions
from store_scp.tls import server_context


class Settings(AccessSettings):
    """Loaded once, by `dicomio.service_settings.load`, and handed down."""

    model_config = shared_config("STORE_SCP_")

    ae_title: str = Field(default="STORE-SCP", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(default=104, ge=0, le=65535)
    calling_ae_titles: str = ""
    """Whom to admit, separated by commas; a title may be bound to where it comes from:
    `PACS=10.1.0.0/16;10.2.0.7`."""
    require_called_ae_title: bool = False
    admit_anyone: bool = False
    """Listen beyond loopback with neither an allow-list nor client certificates."""
    maximum_associations: int = Field(default=16, ge=1)
    max_instance_bytes: int = Field(default=1 << 30, ge=1)
    memory_bytes: int = Field(default=16 << 20, ge=1 << 16)
    """Larger data sets wait in a file, in `spool_folder`, until they have landed."""
    spool_folder: Path | None = None
    processes: int = Field(default=1, ge=1, le=64)
    """Share one port, and the associations. Their probes are at `http_port`, `http_port` + 1 …

    One, because that is what was measured: on two cores two processes took no more to S3 than one did,
    whose threads wait for the object store without the interpreter's lock. With more cores than
    the object store needs, try two.
    """
    listen_descriptor: int | None = None
    """Set for each of several processes: the socket that they share."""
    parent_descriptor: int | None = None
    """Set for each of several processes: a pipe that closes when the one that started them is gone."""
    leave_s: float = Field(default=0.0, ge=0)
    """After SIGTERM: no longer ready, but still accepting, until whoever spreads associations over
    replicas by `/readyz` has noticed. Kubernetes needs none, its `preStop` does that."""
    grace_s: float = Field(default=30.0, ge=0)
    """Then, what open associations have to end."""
    network_timeout_s: float = Field(default=120.0, gt=0)
    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None

    high_water: float | None = Field(default=0.95, gt=0, le=1)
    publish_timeout_s: float = Field(default=5.0, gt=0)

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8081, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _closed_beyond_loopback(self) -> Self:
        guarded = self.calling_ae_titles.strip() or self.client_ca_file or self.admit_anyone
        if not is_loopback(self.host) and not guarded:
            raise ValueError(
                "STORE_SCP_HOST is not loopback: name STORE_SCP_CALLING_AE_TITLES, or set "
                "STORE_SCP_CLIENT_CA_FILE, or say STORE_SCP_ADMIT_ANYONE=true"
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("STORE_SCP_CERT_FILE and STORE_SCP_KEY_FILE go together")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("STORE_SCP_CLIENT_CA_FILE needs STORE_SCP_CERT_FILE")
        if self.processes > 1 and sys.platform == "win32":
            raise ValueError("STORE_SCP_PROCESSES: several cannot share a port on Windows")
        return self

    def scp_options(self) -> ScpOptions:
        """Return what a `StoreScp` is made from.

        Raises
        ------
        InvalidRequest
            A TLS file cannot be used, or the allow-list cannot be understood.
        """
        tls = None
        if self.cert_file is not None and self.key_file is not None:
            tls = server_context(self.cert_file, self.key_file, client_ca_file=self.client_ca_file)
        return ScpOptions(
            ae_title=self.ae_title,
            host=self.host,
            port=self.port,
            listen_descriptor=self.listen_descriptor,
            callers=parse_callers(self.calling_ae_titles),
            require_called_ae_title=self.require_called_ae_title,
            maximum_associations=self.maximum_associations,
            max_instance_bytes=self.max_instance_bytes,
            memory_bytes=self.memory_bytes,
            spool_folder=self.spool_folder,
            grace_s=self.grace_s,
            network_timeout_s=self.network_timeout_s,
            tls=tls,
        )

    def worker_environment(self, number: int, listen: int, parent: int) -> dict[str, str]:
        """Return the environment of one of several processes, numbered from 0."""
        associations = -(-self.maximum_associations // self.processes)
        http_port = self.http_port + number if self.http_port else 0
        own = {
            "PROCESSES": 1,
            "LISTEN_DESCRIPTOR": listen,
            "PARENT_DESCRIPTOR": parent,
            "MAXIMUM_ASSOCIATIONS": associations,
            "HTTP_PORT": http_port,
        }
        return {**os.environ, **{f"STORE_SCP_{name}": str(value) for name, value in own.items()}}
