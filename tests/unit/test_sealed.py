"""What is sealed to a certificate is opened by its key, by OpenSSL too, and by no other."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from dicomcore.errors import InvalidRequest, Unreadable
from dicomio.sealed import load_certificates, load_opener, seal, unseal
from tests.recipients import Recipient, recipient, rsa_key

SECRET = b"OriginalPatientId\r\nZyxwort\0\xff\n" * 100


def opened(sealed: bytes, holder: Recipient, password: bytes | None = None) -> bytes:
    return unseal(sealed, *load_opener(holder.cert_file, holder.key_file, password))


@pytest.mark.parametrize("plaintext", [b"", b"a", b"x" * 16, SECRET, bytes(range(256)) * 5000])
def test_the_key_holder_gets_back_every_byte(tmp_path: Path, plaintext: bytes) -> None:
    holder = recipient(tmp_path)

    sealed = seal(plaintext, load_certificates(holder.cert_file))

    assert opened(sealed, holder) == plaintext
    assert len(plaintext) < 8 or plaintext not in sealed


def test_each_of_several_recipients_opens_it_and_nobody_else_does(tmp_path: Path) -> None:
    first = recipient(tmp_path, "first", key=rsa_key(1))
    second = recipient(tmp_path, "second", key=rsa_key(2))
    stranger = recipient(tmp_path, "stranger", key=rsa_key(3))

    sealed = seal(SECRET, load_certificates([first.cert_file, second.cert_file]))

    assert opened(sealed, first) == opened(sealed, second) == SECRET
    with pytest.raises(Unreadable):
        opened(sealed, stranger)


def test_all_certificates_of_one_file_are_recipients_once_each(tmp_path: Path) -> None:
    first = recipient(tmp_path, "first", key=rsa_key(1))
    second = recipient(tmp_path, "second", key=rsa_key(2))
    both = tmp_path / "both.pem"
    both.write_bytes(2 * first.cert_file.read_bytes() + second.cert_file.read_bytes())

    certificates = load_certificates(both)

    assert len(certificates) == 2
    assert opened(seal(SECRET, certificates), second) == SECRET


def test_the_same_is_sealed_differently_every_time(tmp_path: Path) -> None:
    certificates = load_certificates(recipient(tmp_path).cert_file)

    assert seal(SECRET, certificates) != seal(SECRET, certificates)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("number", [1, 2])
def test_openssl_opens_what_was_sealed_to_two(tmp_path: Path, number: int) -> None:
    holders = [recipient(tmp_path, f"holder{n}", key=rsa_key(n)) for n in (1, 2)]
    sealed = tmp_path / "map.csv.p7m"
    sealed.write_bytes(seal(SECRET, load_certificates([h.cert_file for h in holders])))
    holder = holders[number - 1]
    words = ["openssl", "cms", "-decrypt", "-inform", "DER", "-binary", "-in", str(sealed)]
    words += ["-recip", str(holder.cert_file), "-inkey", str(holder.key_file)]

    done = subprocess.run(words, capture_output=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert done.stdout == SECRET


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_it_is_enveloped_data_with_aes_256_in_cbc_mode(tmp_path: Path) -> None:
    sealed = tmp_path / "map.csv.p7m"
    sealed.write_bytes(seal(SECRET, load_certificates(recipient(tmp_path).cert_file)))
    words = ["openssl", "cms", "-cmsout", "-print", "-noout", "-inform", "DER"]

    done = subprocess.run(
        [*words, "-in", str(sealed)], capture_output=True, check=True, timeout=60, text=True
    )

    assert "pkcs7-envelopedData" in done.stdout
    assert "aes-256-cbc" in done.stdout
    assert "rsaEncryption" in done.stdout


def refused(tmp_path: Path, **how: object) -> str:
    with pytest.raises(InvalidRequest) as error:
        load_certificates(recipient(tmp_path, **how).cert_file)  # type: ignore[arg-type]
    return error.value.sentence


def test_a_certificate_that_cannot_be_sealed_to_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert refused(tmp_path, days=(-10, -1)) == "the certificate has expired"
    assert refused(tmp_path, days=(1, 10)) == "the certificate is not valid yet"
    assert refused(tmp_path, usage="digital_signature") == (
        "the key usage of the certificate does not allow keyEncipherment"
    )
    assert refused(tmp_path, key=ec.generate_private_key(ec.SECP256R1())) == (
        "the key of the certificate is not RSA"
    )
    assert refused(tmp_path, key=rsa_key(9, 1024)) == "the key of the certificate is too short"


def test_a_certificate_without_key_usage_may_be_used(tmp_path: Path) -> None:
    holder = recipient(tmp_path, usage=None)

    assert opened(seal(SECRET, load_certificates(holder.cert_file)), holder) == SECRET


def test_nothing_is_sealed_to_nobody_or_to_one_that_has_expired_meanwhile(tmp_path: Path) -> None:
    from cryptography import x509

    expired = recipient(tmp_path, days=(-10, -1))
    certificate = x509.load_pem_x509_certificate(expired.cert_file.read_bytes())

    with pytest.raises(InvalidRequest, match="no certificate"):
        seal(SECRET, [])
    with pytest.raises(InvalidRequest, match="no certificate"):
        load_certificates([])
    with pytest.raises(InvalidRequest, match="expired"):
        seal(SECRET, [certificate])


def test_what_is_no_certificate_is_said_so(tmp_path: Path) -> None:
    holder = recipient(tmp_path)

    with pytest.raises(InvalidRequest, match="cannot be read"):
        load_certificates(tmp_path / "absent.pem")
    with pytest.raises(InvalidRequest, match="no certificate in PEM"):
        load_certificates(holder.key_file)


def test_the_key_of_a_certificate_that_has_expired_is_still_loaded(tmp_path: Path) -> None:
    expired = recipient(tmp_path, days=(-10, -1))

    certificate, _ = load_opener(expired.cert_file, expired.key_file)

    with pytest.raises(InvalidRequest, match="expired"):
        seal(SECRET, [certificate])


def test_a_key_that_does_not_open_is_refused_with_the_reason(tmp_path: Path) -> None:
    holder = recipient(tmp_path, password=b"correct")
    other = recipient(tmp_path, "other", key=rsa_key(1))
    elliptic = recipient(tmp_path, "ec", key=ec.generate_private_key(ec.SECP256R1()))

    load_opener(holder.cert_file, holder.key_file, b"correct")
    for password, words in ((None, "no password"), (b"wrong", "password is wrong")):
        with pytest.raises(InvalidRequest, match=words):
            load_opener(holder.cert_file, holder.key_file, password)
    with pytest.raises(InvalidRequest, match="is not encrypted"):
        load_opener(other.cert_file, other.key_file, b"any")
    with pytest.raises(InvalidRequest, match="not that of the certificate"):
        load_opener(elliptic.cert_file, other.key_file)
    with pytest.raises(InvalidRequest, match="not RSA"):
        load_opener(elliptic.cert_file, elliptic.key_file)
    with pytest.raises(InvalidRequest, match="no private key"):
        load_opener(other.cert_file, other.cert_file)


@pytest.mark.parametrize("at", [0, 5, 30, 300, 400, -40, -1])
def test_what_is_damaged_is_unreadable_or_not_the_same(tmp_path: Path, at: int) -> None:
    holder = recipient(tmp_path)
    sealed = bytearray(seal(SECRET, load_certificates(holder.cert_file)))
    sealed[at] ^= 0x55

    with suppress(Unreadable):
        assert opened(bytes(sealed), holder) != SECRET
    for cut in (b"", bytes(sealed[:50]), b"no CMS at all"):
        with pytest.raises(Unreadable):
            opened(cut, holder)
