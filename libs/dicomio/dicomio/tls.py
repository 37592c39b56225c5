"""TLS between DICOM systems: the profile of BCP 195 (RFC 8996, RFC 9325), on either side."""

from __future__ import annotations

import ssl

CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only (RFC 9325 4.2). TLS 1.3 has no others."""


def harden(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context, held to the profile: it only ever becomes stricter.

    TLS 1.2 and 1.3; no older version is fallen back to, nothing is compressed, and nothing is
    negotiated anew.

    Notes
    -----
    PS3.15 B.12 (BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile), RFC 9325 3.1 to 4.2.
    """
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(CIPHERS_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    return context
