"""Certificates that things are sealed to, with their private keys, as PEM files; nobody's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Recipient:
    """One PEM file of a certificate, and one of its key."""

    cert_file: Path
    key_file: Path


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key for each number; making one takes a moment."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def recipient(
    folder: Path,
    name: str = "keeper",
    *,
    key: Key | None = None,
    days: tuple[int, int] = (-1, 2),
    usage: str | None = "key_encipherment",
    password: bytes | None = None,
) -> Recipient:
    """Write a self-signed certificate, valid from and until so many days from now, and its key."""
    key = key or rsa_key()
    now, subject = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )
    if usage is not None:
        builder = builder.add_extension(_usage(usage), critical=True)
    made = Recipient(folder / f"{name}.pem", folder / f"{name}.key")
    made.cert_file.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    made.key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption(),
        )
    )
    return made


def _usage(allowed: str) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name == allowed for name in names})
