"""A peer that does what a script says, PDU by PDU: for all that no real peer does on demand."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.presentation import PresentationContext

from dicomio.pacs.commands import encode
from tests.peers.processes import LOOPBACK

DEADLINE_S = 60.0
Script = Callable[["Line"], None]


class Line:
    """The connection with the client, as the script sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(DEADLINE_S)

    def read_pdu(self) -> bytes:
        """Return the next PDU, header included."""
        header = self._read(6)
        return header + self._read(struct.unpack(">I", header[2:])[0])

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._connection.sendall(data)

    def accept(self) -> None:
        """Accept the association that is asked for, each context with its first transfer syntax."""
        self.send(accepting(self.read_pdu()))

    def respond(self, elements: dict[int, int | str], data: bytes = b"") -> None:
        """Send a message on the first context."""
        self.send(values((1, 0b11, encode(elements))))
        if data:
            self.send(values((1, 0b10, data)))

    def release(self) -> None:
        """Take the client's release request and grant it."""
        assert self.read_pdu()[0] == 5
        self.send(b"\6\0\0\0\0\4" + bytes(4))

    def wait_for_end(self) -> bytes:
        """Return what the client still sends until it closes."""
        rest = b""
        with contextlib.suppress(ConnectionError):
            while part := self._connection.recv(65536):
                rest += part
        return rest

    def reset(self) -> None:
        """Close with RST, as a crashed host or a firewall does."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self._connection.recv(length - len(data))
            if not part:
                raise ConnectionError("the client closed")
            data += part
        return data


def accepting(request_pdu: bytes) -> bytes:
    """Return the A-ASSOCIATE-AC that accepts everything, with the first transfer syntax of each."""
    request = A_ASSOCIATE_RQ()
    request.decode(request_pdu)
    primitive = request.to_primitive()
    primitive.presentation_context_definition_results_list = [
        _accepting(context) for context in primitive.presentation_context_definition_list
    ]
    primitive.result = 0
    answer = A_ASSOCIATE_AC()
    answer.from_primitive(primitive)
    encoded: bytes = answer.encode()
    return encoded


def values(*parts: tuple[int, int, bytes]) -> bytes:
    """Return a P-DATA-TF PDU of (context ID, message control header, fragment)."""
    body = b"".join(
        struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment
        for context_id, control, fragment in parts
    )
    return struct.pack(">BxI", 4, len(body)) + body


def _accepting(context: PresentationContext) -> PresentationContext:
    agreed = PresentationContext()
    agreed.context_id = context.context_id
    agreed.abstract_syntax = context.abstract_syntax
    agreed.transfer_syntax = context.transfer_syntax[:1]
    agreed.result = 0
    return agreed


@contextlib.contextmanager
def scripted_peer(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Yield the port of a peer that plays `script` to the first client, then closes.

    What the script raises is raised at the end.
    """
    failures: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(DEADLINE_S)

        def play() -> None:
            try:
                connection, _ = listener.accept()
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                with connection:
                    script(Line(connection))
            except BaseException as exc:  # noqa: BLE001 - handed to the test
                failures.put(exc)

        thread = threading.Thread(target=play, name="scripted-peer")
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(DEADLINE_S + 10)
        if not failures.empty():
            raise failures.get()
