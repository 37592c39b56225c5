"""PostgreSQL over TLS, as libpq's parameters in an address ask for it: verified, or not spoken to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import text

from dicomio.sql_index.engine import open_database
from tests.servers.certificates import Authority

SSL_REQUEST = struct.pack(">II", 8, 80877103)
"""PostgreSQL, Message Formats."""
DEADLINE_S = 30.0


@dataclass
class Heard:
    """What a server that ends every conversation was told."""

    encrypted: list[bytes] = field(default_factory=list)
    plain: list[bytes] = field(default_factory=list)
    failed: int = 0

    def listen(self, connection: socket.socket, first: bytes, tls: ssl.SSLContext | None) -> None:
        if first != SSL_REQUEST:
            self.plain.append(first)
        elif tls is None:
            connection.sendall(b"N")
            self.plain += [said] if (said := connection.recv(1024)) else []
        else:
            connection.sendall(b"S")
            with tls.wrap_socket(connection, server_side=True) as encrypted:
                self.encrypted += [said] if (said := encrypted.recv(1024)) else []


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None) -> AsyncIterator[tuple[int, Heard]]:
    """A server that speaks TLS, or says that it cannot, and listens to what is said first."""
    heard = Heard()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                try:
                    first = connection.recv(8)
                    if not first:
                        return  # asked to end
                    heard.listen(connection, first, tls)
                except OSError:  # a handshake that failed is one as well
                    heard.failed += 1

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    try:
        yield port, heard
    finally:
        socket.create_connection(("127.0.0.1", port)).close()
        # on the loop, the driver's connections still close
        await asyncio.to_thread(thread.join)
        listener.close()


async def asked(port: int, parameters: str) -> None:
    """Ask a database that cannot answer; whatever it says, nothing is read."""
    database = open_database(f"postgresql://user:secret@localhost:{port}/index?{parameters}")
    with pytest.raises(Exception) as failed:  # noqa: PT011 - of the driver, which others map
        async with asyncio.timeout(DEADLINE_S):
            await database.read(lambda connection: connection.execute(text("SELECT 1")))
    assert "unexpected keyword" not in str(failed.value)
    await database.close()


async def test_a_certificate_of_the_authority_is_trusted_and_no_other(tmp_path: Path) -> None:
    # given: a server with a certificate, the authority that signed it, and another one
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    certificate = ours.issue("database")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate.cert_file, certificate.key_file)

    async with listening(tls) as (port, heard):
        # when, then: with the other authority nothing is said; with ours the conversation begins
        await asked(port, f"sslmode=verify-full&sslrootcert={other.ca_file}")
        assert (heard.encrypted, heard.plain) == ([], [])
        await asked(port, f"sslmode=verify-full&sslrootcert={ours.ca_file}")
        assert any(b"index" in said for said in heard.encrypted)
        assert heard.plain == []


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_server_without_tls_is_told_nothing_where_tls_is_asked_for(
    tmp_path: Path, mode: str
) -> None:
    authority = Authority(tmp_path)
    async with listening(None) as (port, heard):
        await asked(port, f"sslmode={mode}&sslrootcert={authority.ca_file}")

    assert (heard.encrypted, heard.plain) == ([], [])
