"""store-scp against callers from elsewhere, TLS below the profile, and many who say nothing."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from dicomcore.dimse import SUCCESS
from dicomio.pacs.peer import ClientTls, ssl_context
from dicomio.tls import CIPHERS_1_2, harden
from store_scp.callers import parse_callers
from store_scp.options import ScpOptions
from store_scp.tls import server_context
from tests.instances import instance
from tests.integration.scp_world import send, world
from tests.open_files import HALF_OPEN, for_connections
from tests.peers.raw_scu import Aborted, Rejected
from tests.servers.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


# ── from where ──────────────────────────────────────────────────────────────────────────────


def test_a_title_is_admitted_from_its_own_network_only(tmp_path: Path) -> None:
    options = ScpOptions(callers=parse_callers("HERE=127.0.0.0/8, THERE=10.0.0.0/8"))
    with world(tmp_path / "objects", options) as scp:
        with pytest.raises(Rejected) as caught:
            scp.scu(calling="THERE")
        assert caught.value.reasons == (1, 1, 3)

        with scp.scu(calling="HERE") as scu:
            assert send(scu, instance()) == SUCCESS


def test_where_nobody_may_come_from_is_closed_before_a_byte_is_read(tmp_path: Path) -> None:
    options = ScpOptions(callers=parse_callers("THERE=10.0.0.0/8"))
    with (
        world(tmp_path / "objects", options) as scp,
        socket.create_connection(("127.0.0.1", scp.port), timeout=60) as connection,
    ):
        assert connection.recv(1) == b""


# ── who say nothing ─────────────────────────────────────────────────────────────────────────


def test_connections_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    options = ScpOptions(maximum_associations=4, acse_timeout_s=60.0)
    silent: list[socket.socket] = []
    with for_connections(HALF_OPEN) as possible, world(tmp_path / "objects", options) as scp:
        try:
            for number in range(possible):
                silent.append(socket.create_connection(("127.0.0.1", scp.port), timeout=60))
                # fewer than may wait to be accepted: one more is tried again after a second
                if number % 100 == 99:
                    with scp.scu() as scu:
                        assert send(scu, instance(number)) == SUCCESS
                        scu.release()
        finally:
            for connection in silent:
                connection.close()


def test_associations_that_wait_are_not_closed_for_connections_that_say_nothing(
    tmp_path: Path,
) -> None:
    options = ScpOptions(maximum_associations=2, acse_timeout_s=60.0)
    silent: list[socket.socket] = []
    with world(tmp_path / "objects", options) as scp, scp.scu() as first, scp.scu() as second:
        try:
            for _ in range(60):
                silent.append(socket.create_connection(("127.0.0.1", scp.port), timeout=60))
            assert send(first, instance(1)) == SUCCESS
            assert send(second, instance(2)) == SUCCESS
            first.release()
            second.release()
        finally:
            for connection in silent:
                connection.close()


# ── TLS of BCP 195 ──────────────────────────────────────────────────────────────────────────


def old_client(authority: Authority, ciphers: str) -> ssl.SSLContext:
    """A client that offers one thing of TLS 1.2."""
    context = ssl.create_default_context(cafile=authority.ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    return context


@pytest.mark.parametrize(
    "ciphers",
    ["ECDHE+AES:!AESGCM:!AESCCM", "kRSA+AESGCM", "DHE+AESGCM", "AES256-SHA"],
    ids=["CBC", "RSA key exchange", "DHE", "CBC and RSA"],
)
def test_suites_without_forward_secrecy_or_authentication_are_refused(
    tmp_path: Path, authority: Authority, ciphers: str
) -> None:
    ours = authority.issue("server")
    options = ScpOptions(tls=server_context(ours.cert_file, ours.key_file))
    with world(tmp_path / "objects", options) as scp:
        with pytest.raises((ssl.SSLError, Aborted, ConnectionError)):
            scp.scu(tls=old_client(authority, ciphers))

        with scp.scu(tls=old_client(authority, "ECDHE+AESGCM")) as scu:
            assert scu.socket.version() == "TLSv1.2"
            assert send(scu, instance()) == SUCCESS


def test_both_sides_offer_authenticated_encryption_with_forward_secrecy_only(
    authority: Authority,
) -> None:
    ours = authority.issue("server")
    for context in (
        server_context(ours.cert_file, ours.key_file),
        ssl_context(ClientTls(ca_file=authority.ca_file)),
    ):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION
        for suite in context.get_ciphers():
            assert suite["aead"], suite["name"]
            assert suite["protocol"] == "TLSv1.3" or suite["name"].startswith("ECDHE"), suite


def test_a_client_does_not_speak_with_a_server_below_the_profile(authority: Authority) -> None:
    ours = authority.issue("server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(ours.cert_file, ours.key_file)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("AES256-SHA")
    client = ssl_context(ClientTls(ca_file=authority.ca_file))

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    speaking = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    heard, answer = ssl.MemoryBIO(), ssl.MemoryBIO()
    listening = server.wrap_bio(heard, answer, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        speaking.do_handshake()
    heard.write(outgoing.read())

    with pytest.raises(ssl.SSLError, match=r"(?i)no[_ ]shared[_ ]cipher"):
        listening.do_handshake()


def test_hardening_never_loosens_what_a_system_forbids() -> None:
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    strict.minimum_version = ssl.TLSVersion.TLSv1_3

    assert harden(strict).minimum_version == ssl.TLSVersion.TLSv1_3
    assert "ECDHE" in CIPHERS_1_2
