"""How a peer is reached."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from dicomcore.errors import InvalidRequest
from dicomio.tls import harden

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS 1.2 or later towards a peer (PS3.15 B.12)."""

    ca_file: Path | None = None
    """Certificates to trust, PEM; None: those of the operating system."""
    cert_file: Path | None = None
    """Our certificate and its chain, PEM, for peers that ask for one."""
    key_file: Path | None = None
    """Its key, PEM, without a pass phrase; None: it is in `cert_file`."""
    insecure: bool = False
    """Accept any certificate of any host: encrypted, and anybody may be at the other end."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One DICOM peer and the limits we hold it to."""

    name: str
    """What people call it; logs and errors name it so."""
    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "DICOMTOOLS"
    tls: ClientTls | None = None
    connect_timeout_s: float = 10.0
    """For TCP, for TLS, and for the answer to the association request: each."""
    idle_timeout_s: float = 120.0
    """So long without one byte from the peer, while it owes us an answer, ends the association. A
    PACS need not tell how a C-MOVE goes on (PS3.4 C.4.2.3.1): longer than it takes for one request."""
    cancel_timeout_s: float = 10.0
    """So long after C-CANCEL the final response is waited for; then the association is aborted."""
    max_pdu: int = 128 * 1024
    """Maximum length (bytes) of the P-DATA-TF PDUs we take, PS3.8 D.1."""
    max_data_set_bytes: int = 4096 * MIB
    """A data set larger than this ends the association; it is held in memory while it comes."""


def ssl_context(tls: ClientTls) -> ssl.SSLContext:
    """Return the context for associations with one peer; threads may share it.

    Raises
    ------
    InvalidRequest
        A file cannot be read, or does not hold what it should.
    """
    try:
        context = harden(ssl.create_default_context(cafile=tls.ca_file))
        # Python 3.13 asks certificates for what those of hospitals' own authorities often lack;
        # a peer must not be trusted on one version of Python and refused on the next
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_pass_phrase)
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        raise InvalidRequest("TLS: certificate or key cannot be loaded") from exc
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_pass_phrase() -> str:
    # without a callback OpenSSL would ask on the terminal, and a service would hang
    return ""
