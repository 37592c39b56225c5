"""Seals bytes to the holders of keys: CMS EnvelopedData for RSA certificates (RFC 5652), and back."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    pkcs7,
)
from cryptography.utils import CryptographyDeprecationWarning

from dicomcore.errors import InvalidRequest, Unreadable

SUFFIX = ".p7m"
"""Of a file that holds a sealed one, after that one's own name (RFC 8551 3.2.1)."""
MIN_RSA_BITS = 2048

Recipients = Sequence[x509.Certificate]


def load_certificates(paths: Path | Iterable[Path]) -> tuple[x509.Certificate, ...]:
    """Return every certificate of one PEM file, or of several: each of their holders can open.

    Raises
    ------
    InvalidRequest
        A file cannot be read or holds no certificate, or one of them cannot be sealed to: it is not
        valid now, its key is not RSA or too short, or its key usage does not allow it.
    """
    found: dict[bytes, x509.Certificate] = {}
    for path in (paths,) if isinstance(paths, Path) else paths:
        for certificate in _certificates_of(path):
            check(certificate)
            found.setdefault(certificate.public_bytes(Encoding.DER), certificate)
    if not found:
        raise InvalidRequest("no certificate to seal to is given")
    return tuple(found.values())


def seal(plaintext: bytes, certificates: Recipients) -> bytes:
    """Return CMS EnvelopedData in DER that each certificate's key opens; other bytes every time.

    Raises
    ------
    InvalidRequest
        There is no certificate, or one of them cannot be sealed to, or no longer.

    Notes
    -----
    RFC 5652 6: AES-256 in CBC mode, the content key by RSAES-PKCS1-v1_5 for each recipient: what
    PS3.15 E.1.1 and every S/MIME program know. `openssl cms -decrypt -inform DER` opens it as well.
    """
    if not certificates:
        raise InvalidRequest("no certificate to seal to is given")
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(plaintext)
    builder = builder.set_content_encryption_algorithm(AES256)
    for certificate in certificates:
        check(certificate)
        builder = builder.add_recipient(certificate)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def unseal(sealed: bytes, certificate: x509.Certificate, key: RSAPrivateKey) -> bytes:
    """Return what was sealed to a certificate, by its private key.

    Raises
    ------
    Unreadable
        It is no CMS EnvelopedData, it is damaged, or it was not sealed to this certificate.
    """
    try:
        # a certificate that has expired since still opens what was sealed to it
        return pkcs7.pkcs7_decrypt_der(sealed, certificate, key, [])
    except (ValueError, UnsupportedAlgorithm, TypeError) as exc:
        raise Unreadable(
            "not sealed to this certificate, or damaged", size_bytes=len(sealed)
        ) from exc


def load_opener(
    certificate: Path, key: Path, password: bytes | None = None
) -> tuple[x509.Certificate, RSAPrivateKey]:
    """Return what `unseal` needs: the certificate of a PEM file, and the private key of another.

    Raises
    ------
    InvalidRequest
        A file cannot be read or is something else, the password is wrong or missing, or no
        certificate of the file belongs to the key.
    """
    private = _private_key(key, password)
    wanted = _public_bytes(private.public_key())
    for one in _certificates_of(certificate):
        public = _rsa_key_of(one)
        if public is not None and _public_bytes(public) == wanted:
            return one, private
    raise InvalidRequest("the private key is not that of the certificate", file=certificate.name)


def check(certificate: x509.Certificate) -> None:
    """Refuse a certificate to whose holder nothing can be sealed, or should be.

    Raises
    ------
    InvalidRequest
    """
    public = _rsa_key_of(certificate)
    if public is None:
        raise InvalidRequest("the key of the certificate is not RSA", **_facts(certificate))
    if public.key_size < MIN_RSA_BITS:
        raise InvalidRequest(
            "the key of the certificate is too short", bits=public.key_size, minimum=MIN_RSA_BITS
        )
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise InvalidRequest(
            "the certificate has expired",
            **_facts(certificate),
            not_after=certificate.not_valid_after_utc.isoformat(),
        )
    if now < certificate.not_valid_before_utc:
        raise InvalidRequest(
            "the certificate is not valid yet",
            **_facts(certificate),
            not_before=certificate.not_valid_before_utc.isoformat(),
        )
    _check_usage(certificate)


def _check_usage(certificate: x509.Certificate) -> None:
    """Refuse another key usage than encipherment of keys; a certificate that names none has any."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    except ValueError as exc:
        raise InvalidRequest("the certificate is malformed", **_facts(certificate)) from exc
    if not usage.key_encipherment:
        raise InvalidRequest(
            "the key usage of the certificate does not allow keyEncipherment", **_facts(certificate)
        )


def _facts(certificate: x509.Certificate) -> dict[str, str]:
    return {"serial_number": f"{certificate.serial_number:x}"}


def _rsa_key_of(certificate: x509.Certificate) -> RSAPublicKey | None:
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return public if isinstance(public, RSAPublicKey) else None


def _public_bytes(key: RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificates_of(path: Path) -> list[x509.Certificate]:
    data = _read(path, "the certificate file cannot be read")
    try:
        with warnings.catch_warnings():
            # a serial number or version that the standard forbids is the issuer's fault, not ours
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return x509.load_pem_x509_certificates(data)
    except ValueError as exc:
        raise InvalidRequest("the file holds no certificate in PEM", file=path.name) from exc


def _private_key(path: Path, password: bytes | None) -> RSAPrivateKey:
    data = _read(path, "the key file cannot be read")
    try:
        key = load_pem_private_key(data, password)
    except TypeError as exc:
        sentence = (
            "the private key is encrypted and no password is given"
            if password is None
            else "a password is given, but the private key is not encrypted"
        )
        raise InvalidRequest(sentence, file=path.name) from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InvalidRequest(
            "the file holds no private key in PEM, or the password is wrong", file=path.name
        ) from exc
    if not isinstance(key, RSAPrivateKey):
        raise InvalidRequest("the private key is not RSA", file=path.name)
    return key


def _read(path: Path, sentence: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise InvalidRequest(sentence, file=path.name, error=exc.strerror) from exc
