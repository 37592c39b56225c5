"""How a Storage SCP listens, whom it admits, and how much it takes on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from store_scp.callers import Callers


@dataclass(frozen=True, slots=True)
class ScpOptions:
    """Everything a `StoreScp` is made from, except what to do with the instances."""

    ae_title: str = "STORE-SCP"
    host: str = "127.0.0.1"
    port: int = 104
    """0: any free one."""
    listen_descriptor: int | None = None
    """A socket that is bound and listens already, inherited; `host` and `port` then count for nothing.
    Several processes share one port so."""
    callers: Callers = field(default_factory=Callers)
    """Whom to admit; empty: everyone."""
    require_called_ae_title: bool = False
    """Whether a peer must call us by `ae_title`."""
    maximum_associations: int = 16
    """One more is rejected for the moment (local limit exceeded, PS3.8 table 9-21).

    Memory: an association holds one instance at a time, once, and of a large one `memory_bytes`; with
    the buffer in front of it that is 16 x (16 + 0.25) MiB = 260 MiB at the most, beside what the
    program itself needs (about 90 MiB). Disk: 16 x 1 GiB in `spool_folder` in the worst case.
    """
    max_instance_bytes: int = 1 << 30
    """A data set that grows beyond it is not received to its end: the association is aborted."""
    memory_bytes: int = 16 << 20
    """A data set that grows beyond it is kept in a file without a name until it has landed."""
    spool_folder: Path | None = None
    """Where that file is; None: the system's folder for temporary files."""
    maximum_pdu_bytes: int = 1 << 17
    acse_timeout_s: float = 30.0
    """From connection to the whole association request, TLS handshake included (ARTIM, PS3.8 9.1.5)."""
    network_timeout_s: float = 120.0
    """An association on which nothing comes, or which takes none of our bytes, for so long is aborted."""
    grace_s: float = 30.0
    """What running associations get to finish when the SCP stops."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
