"""Certificates for TLS tests: an authority, and what it signs; made anew, valid for a day.

Written out in DER (RFC 5280) on the primitives of pycryptodome, which comes with minio: no program
and no further package is needed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from Crypto.Util.asn1 import (
    DerBitString,
    DerBoolean,
    DerInteger,
    DerObjectId,
    DerOctetString,
    DerSequence,
    DerSetOf,
)

_SHA256_WITH_RSA = "1.2.840.113549.1.1.11"
_COMMON_NAME = "2.5.4.3"
_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
_BASIC_CONSTRAINTS = "2.5.29.19"
_KEY_USAGE = "2.5.29.15"
_SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
_serial_numbers = count(1000)


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate and its key."""

    cert_file: Path
    key_file: Path


class Authority:
    """Signs certificates for `localhost` and 127.0.0.1."""

    def __init__(self, folder: Path, name: str = "tests authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._key = RSA.generate(2048)
        own = self._sign(name, self._key, authority=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(_pem("CERTIFICATE", own))

    def issue(self, name: str) -> Certificate:
        """Return a new certificate, good for both sides of a connection."""
        key = RSA.generate(2048)
        certificate = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        certificate.cert_file.write_text(_pem("CERTIFICATE", self._sign(name, key)))
        certificate.key_file.write_bytes(key.export_key("PEM", pkcs=8))
        return certificate

    def _sign(self, name: str, key: RSA.RsaKey, *, authority: bool = False) -> bytes:
        algorithm = _sequence(DerObjectId(_SHA256_WITH_RSA).encode(), b"\x05\x00")
        now = datetime.now(UTC)
        body = _sequence(
            _explicit(0, DerInteger(2).encode()),
            DerInteger(next(_serial_numbers)).encode(),
            algorithm,
            _distinguished_name(self._name),
            _sequence(_utc_time(now - timedelta(hours=1)), _utc_time(now + timedelta(days=1))),
            _distinguished_name(name),
            key.public_key().export_key("DER"),
            _explicit(3, _sequence(*_extensions(key, self._key, authority=authority))),
        )
        signature = pkcs1_15.new(self._key).sign(SHA256.new(body))
        return _sequence(body, algorithm, DerBitString(signature).encode())


def _extensions(key: RSA.RsaKey, signer: RSA.RsaKey, *, authority: bool) -> list[bytes]:
    constraints = _sequence(DerBoolean(True).encode()) if authority else _sequence()
    # certificate signing (5) and CRL signing (6), or digital signature (0) and key encipherment (2)
    usage = b"\x03\x02\x01\x06" if authority else b"\x03\x02\x05\xa0"
    names = _sequence(_tagged(0x82, b"localhost"), _tagged(0x87, bytes([127, 0, 0, 1])))
    extensions = [
        _extension(_BASIC_CONSTRAINTS, constraints, critical=True),
        _extension(_KEY_USAGE, usage, critical=True),
        _extension(_SUBJECT_KEY_IDENTIFIER, DerOctetString(_identifier(key)).encode()),
        _extension(_AUTHORITY_KEY_IDENTIFIER, _sequence(_tagged(0x80, _identifier(signer)))),
    ]
    if not authority:
        extensions.append(_extension(_SUBJECT_ALTERNATIVE_NAME, names))
    return extensions


def _identifier(key: RSA.RsaKey) -> bytes:
    return SHA256.new(key.public_key().export_key("DER")).digest()[:20]


def _extension(identifier: str, value: bytes, *, critical: bool = False) -> bytes:
    return _sequence(
        DerObjectId(identifier).encode(),
        DerBoolean(True).encode() if critical else b"",
        DerOctetString(value).encode(),
    )


def _distinguished_name(name: str) -> bytes:
    attribute = _sequence(DerObjectId(_COMMON_NAME).encode(), _tagged(0x0C, name.encode()))
    return _sequence(DerSetOf([attribute]).encode())


def _utc_time(moment: datetime) -> bytes:
    return _tagged(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def _sequence(*parts: bytes) -> bytes:
    return bytes(DerSequence([part for part in parts if part]).encode())


def _explicit(number: int, content: bytes) -> bytes:
    return _tagged(0xA0 | number, content)


def _tagged(tag: int, content: bytes) -> bytes:
    """Return tag, length and value; the library has no tags of one's own."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def _pem(label: str, der: bytes) -> str:
    text = base64.encodebytes(der).decode("ascii")
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n"
