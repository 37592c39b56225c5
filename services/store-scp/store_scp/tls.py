"""The TLS context of the acceptor."""

from __future__ import annotations

import ssl
from pathlib import Path

from dicomcore.errors import InvalidRequest
from dicomio.tls import harden


def server_context(
    certificate_file: Path, key_file: Path, *, client_ca_file: Path | None = None
) -> ssl.SSLContext:
    """Return a context for TLS as `dicomio.tls` has it.

    Parameters
    ----------
    certificate_file
        PEM, our certificate and the chain above it.
    client_ca_file
        PEM; with it a peer must show a certificate that one of these authorities has signed.

    Raises
    ------
    InvalidRequest
        A file cannot be read, or does not hold what it should.

    Notes
    -----
    PS3.15 B.12 (BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile).
    """
    context = harden(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    try:
        context.load_cert_chain(certificate_file, key_file)
        if client_ca_file is not None:
            context.load_verify_locations(client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as exc:  # SSLError is an OSError
        raise InvalidRequest("TLS certificate, key or authorities cannot be used") from exc
    return context
