"""How a Storage SCP listens, whom it admits, and how much it takes on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ScpOptions:
    """Everything a `StoreScp` is made from, except what to do with the instances."""

    ae_title: str = "STORE-SCP"
    host: str = "127.0.0.1"
    port: int = 104
    """0: any free one."""
    calling_ae_titles: frozenset[str] = frozenset()
    """Whom to admit; empty: everyone."""
    require_called_ae_title: bool = False
    """Whether a peer must call us by `ae_title`."""
    maximum_associations: int = 16
    """One more is rejected for the moment (local limit exceeded, PS3.8 table 9-21).

    An association holds one instance in memory at a time, once. In the worst case that is
    16 x 1 GiB (`max_instance_bytes`) = 16 GiB. An image slice has 0.5 MiB, a dose or a structure set
    rarely above 128 MiB: 16 x 128 MiB = 2 GiB is what to give a pod that serves radiotherapy; where
    larger objects come, lower this number or give it more.
    """
    max_instance_bytes: int = 1 << 30
    """A data set that grows beyond it is not received to its end: the association is aborted."""
    maximum_pdu_bytes: int = 1 << 17
    acse_timeout_s: float = 30.0
    """From connection to association request, TLS handshake included."""
    network_timeout_s: float = 120.0
    """An association on which nothing comes for so long is aborted."""
    grace_s: float = 30.0
    """What running associations get to finish when the SCP stops."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
