"""PUT over kept connections: what is understood, what is left to the general client, and nothing open."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType

import pytest

from dicomio.kept_connections import KeptConnections, Server
from dicomio.parts import Parts

BODY = Parts([b"header", memoryview(bytes(range(256)) * 2000)])
HEADERS = {"Host": "somewhere", "Content-Length": str(BODY.size_bytes)}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: x\r\n\r\nOK"
WAIT_S = 15.0


class Scripted:
    """Answers each request with the next of `answers`; None: closes without an answer."""

    def __init__(self, *answers: bytes | None, close_after: bool = False) -> None:
        self._answers = list(answers)
        self._close_after = close_after
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.requests: list[tuple[int, bytes]] = []
        """Number of the connection, and what came over it."""

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def _serve(self) -> None:
        connections = 0
        while self._answers and not self._stop.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            connections += 1
            with connection, suppress(OSError):  # a client that has read enough hangs up
                connection.settimeout(WAIT_S)
                self._converse(connection, connections)

    def _converse(self, connection: socket.socket, number: int) -> None:
        while self._answers and (request := _read_request(connection)):
            self.requests.append((number, request))
            answer = self._answers.pop(0)
            if answer is None:
                return
            connection.sendall(answer)
            if self._close_after:
                return

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._listening.close()


def _read_request(connection: socket.socket) -> bytes:
    came = b""
    while True:
        head, end, body = came.partition(b"\r\n\r\n")
        if end:
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            if len(body) == length:
                return came
        more = connection.recv(1 << 16)
        if not more:
            return b""
        came += more


Connect = Callable[[Scripted], KeptConnections]


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[KeptConnections] = []

    def open_to(server: Scripted) -> KeptConnections:
        opened.append(KeptConnections(Server("127.0.0.1", server.port, WAIT_S, WAIT_S)))
        return opened[-1]

    yield open_to
    for connections in opened:
        connections.close()


def put(connections: KeptConnections) -> int | None:
    return connections.put("/bucket/key", HEADERS, BODY)


def test_requests_one_after_another_share_a_connection(connect: Connect) -> None:
    with Scripted(OK, OK, OK) as server:
        connections = connect(server)

        assert [put(connections) for _ in range(3)] == [200, 200, 200]
        connections.close()

    assert [number for number, _ in server.requests] == [1, 1, 1]


def test_a_request_is_its_headers_and_the_bytes_of_the_body(connect: Connect) -> None:
    with Scripted(OK) as server:
        put(connect(server))

    ((_, request),) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"PUT /bucket/key HTTP/1.1",
        b"Host: somewhere",
        f"Content-Length: {BODY.size_bytes}".encode(),
    ]
    assert body == b"".join(BODY)


def test_a_refusal_is_its_status_and_the_connection_is_kept(connect: Connect) -> None:
    refused = b"HTTP/1.1 412 Precondition Failed\r\ncontent-length: 5\r\n\r\nthere"
    with Scripted(refused, OK) as server:
        connections = connect(server)

        assert [put(connections), put(connections)] == [412, 200]
        connections.close()

    assert [number for number, _ in server.requests] == [1, 1]


def test_a_server_that_says_it_closes_gets_a_new_connection(connect: Connect) -> None:
    closing = OK.replace(b"ETag: x", b"Connection: Close")
    with Scripted(closing, OK, close_after=True) as server:
        connections = connect(server)

        assert [put(connections), put(connections)] == [200, 200]

    assert [number for number, _ in server.requests] == [1, 2]


def test_a_connection_that_the_server_has_closed_meanwhile_is_unknown_and_then_forgotten(
    connect: Connect,
) -> None:
    with Scripted(OK, OK, close_after=True) as server:
        connections = connect(server)

        assert [put(connections), put(connections), put(connections)] == [200, None, 200]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nmore than that",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 OK OK\r\nContent-Length: 0\r\n\r\n",
        b"nonsense" * 20_000,
    ],
)
def test_what_is_not_a_simple_answer_is_unknown(connect: Connect, answer: bytes | None) -> None:
    with Scripted(answer, close_after=True) as server:
        assert put(connect(server)) is None


def test_nobody_there_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert put(KeptConnections(Server("127.0.0.1", port, WAIT_S, WAIT_S))) is None


def test_a_server_that_never_answers_is_unknown_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        connections = KeptConnections(Server("127.0.0.1", port, WAIT_S, 0.2))

        assert put(connections) is None
