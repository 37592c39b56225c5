"""A C-STORE SCU on a bare socket: sends what a library would refuse to, and has no threads.

PS3.8 9.3 (PDUs), PS3.7 9.3.1 (C-STORE messages).
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

TIMEOUT_S = 60.0
MAX_PDU_BYTES = 16_384
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
ACCEPT, REJECT, DATA, RELEASE_REQUEST, RELEASE_REPLY, ABORT = 2, 3, 4, 5, 6, 7


class Rejected(Exception):
    """The association was rejected: result, source, reason (PS3.8 table 9-21)."""

    def __init__(self, reasons: tuple[int, int, int]) -> None:
        super().__init__(f"rejected: {reasons}")
        self.reasons = reasons


class Aborted(Exception):
    """The peer aborted, or closed the connection."""


class RawScu:
    """One association; presentation contexts get the IDs 1, 3, 5 … in their order.

    Parameters
    ----------
    contexts
        Abstract syntax and one transfer syntax each.
    request
        The variable field of the A-ASSOCIATE-RQ, instead of one made from the others.
    """

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, str]],
        *,
        calling: str = "RAW-SCU",
        called: str = "STORE-SCP",
        tls: ssl.SSLContext | None = None,
        request: bytes = b"",
    ) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket = raw if tls is None else tls.wrap_socket(raw, server_hostname="localhost")
        except BaseException:
            raw.close()
            raise
        self._message_id = 0
        self.accepted: dict[int, int] = {}
        """Result of each presentation context by its ID; 0 is acceptance."""
        self.user_items: dict[int, bytes] = {}
        """Items of user information in the answer, by their type (PS3.7 D.3.3)."""
        try:
            self.send_pdu(1, request or association_request(contexts, calling, called))
            kind, body = self.read_pdu()
            if kind == REJECT:
                raise Rejected((body[1], body[2], body[3]))
            if kind != ACCEPT:
                raise Aborted
            self.accepted = _results(body)
            self.user_items = _user_items(body)
        except BaseException:
            self.close()
            raise

    def store(
        self, data: bytes, sop_class_uid: str, sop_instance_uid: str, *, context_id: int = 1
    ) -> int:
        """Send a C-STORE request and return the status of the response."""
        self.send_store(data, sop_class_uid, sop_instance_uid, context_id=context_id)
        return self.read_status()

    def send_store(
        self, data: bytes, sop_class_uid: str, sop_instance_uid: str, *, context_id: int = 1
    ) -> None:
        """Send a C-STORE request and do not wait."""
        self._message_id += 1
        command = command_set(
            (0x0002, _ui(sop_class_uid)),
            (0x0100, struct.pack("<H", 0x0001)),
            (0x0110, struct.pack("<H", self._message_id & 0xFFFF)),
            (0x0700, struct.pack("<H", 0)),
            (0x0800, struct.pack("<H", 0x0001)),
            (0x1000, _ui(sop_instance_uid)),
        )
        self.send_fragment(context_id, 0x03, command)
        step = MAX_PDU_BYTES - 6
        for start in range(0, max(len(data), 1), step):
            fragment = data[start : start + step]
            self.send_fragment(context_id, 0x02 if start + step >= len(data) else 0x00, fragment)

    def echo(self, *, context_id: int = 1) -> int:
        """Send a C-ECHO request and return the status of the response."""
        self._message_id += 1
        command = command_set(
            (0x0002, _ui("1.2.840.10008.1.1")),
            (0x0100, struct.pack("<H", 0x0030)),
            (0x0110, struct.pack("<H", self._message_id & 0xFFFF)),
            (0x0800, struct.pack("<H", 0x0101)),
        )
        self.send_fragment(context_id, 0x03, command)
        return self.read_status()

    def read_status(self) -> int:
        """Return Status (0000,0900) of the next response."""
        command = b""
        while True:
            kind, body = self.read_pdu()
            if kind != DATA:
                raise Aborted
            position = 0
            while position < len(body):
                length, _context, header = struct.unpack_from(">IBB", body, position)
                command += body[position + 6 : position + 4 + length]
                position += 4 + length
                if header & 0x02:
                    return _status(command)

    def release(self) -> None:
        """Release the association and close the connection."""
        self.send_pdu(RELEASE_REQUEST, bytes(4))
        kind, _body = self.read_pdu()
        self.close()
        if kind != RELEASE_REPLY:
            raise Aborted

    def abort(self) -> None:
        """Abort the association and close the connection."""
        self.send_pdu(ABORT, bytes(4))
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self.socket.close()

    def send_fragment(self, context_id: int, header: int, fragment: bytes) -> None:
        """Send one presentation data value in a PDU of its own."""
        self.send_pdu(DATA, struct.pack(">IBB", len(fragment) + 2, context_id, header) + fragment)

    def send_pdu(self, kind: int, body: bytes) -> None:
        """Send one PDU of any kind."""
        try:
            self.socket.sendall(struct.pack(">BBI", kind, 0, len(body)) + body)
        except (ConnectionError, BrokenPipeError) as exc:
            raise Aborted from exc

    def read_pdu(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU."""
        kind, _, length = struct.unpack(">BBI", self._read(6))
        return kind, self._read(length)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            try:
                chunk = self.socket.recv(length - len(data))
            except ConnectionError as exc:
                raise Aborted from exc
            if not chunk:
                raise Aborted
            data += chunk
        return data


def item(kind: int, body: bytes) -> bytes:
    """Return an item or sub-item of an association request (PS3.8 9.3.2, PS3.7 D.3.3)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def association_request(
    contexts: Sequence[tuple[str, str]],
    calling: str = "RAW-SCU",
    called: str = "STORE-SCP",
    *,
    version: int = 1,
    application_context: bytes = _APPLICATION_CONTEXT,
    user_items: bytes = b"",
    maximum_length: int = MAX_PDU_BYTES,
) -> bytes:
    """Return the body of an A-ASSOCIATE-RQ PDU (PS3.8 table 9-11).

    Parameters
    ----------
    user_items
        Put behind maximum length and implementation class.
    """
    items = [item(0x10, application_context)]
    for number, (abstract, transfer) in enumerate(contexts):
        syntaxes = item(0x30, abstract.encode()) + item(0x40, transfer.encode())
        items.append(item(0x20, bytes([2 * number + 1, 0, 0, 0]) + syntaxes))
    user = item(0x51, struct.pack(">I", maximum_length)) + item(0x52, b"2.25.7100.99")
    user += user_items
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    return struct.pack(">HH", version, 0) + titles + bytes(32) + b"".join(items) + item(0x50, user)


def _results(body: bytes) -> dict[int, int]:
    results = {}
    position = 68
    while position < len(body):
        kind, _, length = struct.unpack_from(">BBH", body, position)
        if kind == 0x21:
            results[body[position + 4]] = body[position + 6]
        position += 4 + length
    return results


def _user_items(body: bytes) -> dict[int, bytes]:
    position = 68
    while position < len(body):
        kind, _, length = struct.unpack_from(">BBH", body, position)
        if kind == 0x50:
            break
        position += 4 + length
    items, position = {}, position + 4
    while position < len(body):
        kind, _, length = struct.unpack_from(">BBH", body, position)
        items[kind] = body[position + 4 : position + 4 + length]
        position += 4 + length
    return items


def _ui(uid: str) -> bytes:
    value = uid.encode("utf-8")
    return value + b"\0" * (len(value) % 2)


def command_set(*elements: tuple[int, bytes]) -> bytes:
    """Return a command set of (element number, value), its group length before it."""
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _status(command: bytes) -> int:
    position = 0
    while position < len(command):
        tag, length = struct.unpack_from("<2xHI", command, position)
        if tag == 0x0900:
            return int(struct.unpack_from("<H", command, position + 8)[0])
        position += 8 + length
    raise AssertionError("response without status")
