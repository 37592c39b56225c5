"""PUT over connections that are kept, in one write: a small one, whose answer is simple."""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dicomio.parts import Parts

_IDLE_S = 15.0
"""A connection that was not used for so long may have been closed by the server: it is not tried."""
_LONGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """Where the requests go."""

    host: str
    port: int
    connect_timeout_s: float
    read_timeout_s: float
    tls: ssl.SSLContext | None = None


class KeptConnections:
    """Connections to one server, as many as there are requests at once; shared by threads.

    A general HTTP client spends half a millisecond of processor time on each request, as much as it takes
    to receive and to hash an image slice. This one knows one kind of request, and whether the answer is
    one that it understands: for everything else there is the general client, and a PUT may be repeated.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: deque[tuple[float, socket.socket]] = deque()

    def put(self, target: str, headers: Mapping[str, str], body: Parts) -> int | None:
        """Send a PUT and return the status of its answer; None: it may or may not have been done.

        Parameters
        ----------
        target
            Path, and query if there is one, as they are sent.
        headers
            All of them, Host and Content-Length included.
        """
        lines = [f"PUT {target} HTTP/1.1", *(f"{name}: {headers[name]}" for name in headers)]
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        connection: socket.socket | None = None
        try:
            connection = self._taken() or self._connected()
            _send(connection, [memoryview(head), *body])
            status, is_kept = _answer(connection)
        except (OSError, ValueError):
            if connection is not None:
                connection.close()
            return None
        if is_kept:
            self._idle.append((time.monotonic(), connection))
        else:
            connection.close()
        return status

    def close(self) -> None:
        """Close what nobody uses now."""
        for connection in self._all():
            connection.close()

    def _taken(self) -> socket.socket | None:
        """Return the connection that was used last, unless that was too long ago."""
        try:
            used_at, connection = self._idle.pop()
        except IndexError:
            return None
        if time.monotonic() - used_at < _IDLE_S:
            return connection
        connection.close()
        self.close()  # those behind it have waited longer
        return None

    def _all(self) -> Iterator[socket.socket]:
        while self._idle:
            try:
                yield self._idle.pop()[1]
            except IndexError:  # another thread was quicker
                return

    def _connected(self) -> socket.socket:
        server = self._server
        connection = socket.create_connection(
            (server.host, server.port), timeout=server.connect_timeout_s
        )
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if server.tls is not None:
                connection = server.tls.wrap_socket(connection, server_hostname=server.host)
            connection.settimeout(server.read_timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection


def _send(connection: socket.socket, pieces: list[memoryview]) -> None:
    # neither Windows nor TLS: an SSLSocket has the method and refuses the call
    if hasattr(connection, "sendmsg") and not isinstance(connection, ssl.SSLSocket):
        sent = connection.sendmsg(pieces)
        while pieces and sent >= len(pieces[0]):
            sent -= len(pieces.pop(0))
        if pieces:
            pieces[0] = pieces[0][sent:]
    for piece in pieces:
        connection.sendall(piece)


def _answer(connection: socket.socket) -> tuple[int, bool]:
    """Return a status, and whether the connection can be used again.

    Raises
    ------
    ValueError
        The answer is not one of HTTP/1.1, or of no length that is known.
    """
    came = b""
    while (end := came.find(b"\r\n\r\n")) < 0:
        came += _received(connection, len(came))
    version_and_status, *lines = came[:end].split(b"\r\n")
    version, status, *_ = version_and_status.split(b" ", 2)
    if version != b"HTTP/1.1":
        raise ValueError("not an answer of HTTP/1.1")
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip().lower()
    left = int(fields[b"content-length"]) - (len(came) - end - 4) if _is_simple(fields) else -1
    if left < 0:
        raise ValueError("an answer of unknown length")
    while left:
        left -= len(_received(connection, 0, left))
    return int(status), fields.get(b"connection") != b"close"


def _is_simple(fields: Mapping[bytes, bytes]) -> bool:
    return b"content-length" in fields and b"transfer-encoding" not in fields


def _received(connection: socket.socket, had: int, most: int = _LONGEST_ANSWER) -> bytes:
    came = connection.recv(min(most, _LONGEST_ANSWER))
    if not came or had + len(came) > _LONGEST_ANSWER:
        raise ValueError("an answer without an end")
    return came
