"""An association we asked for: whole DIMSE messages in and out (PS3.8 9.3, PS3.7 6.3)."""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from ssl import SSLContext

from dicomcore.errors import PeerRefused, PeerUnavailable
from dicomcore.walk import Buffer
from dicomio.pacs import commands, negotiation
from dicomio.pacs.commands import Command, MalformedCommand
from dicomio.pacs.contexts import Context
from dicomio.pacs.negotiation import AcceptedContext
from dicomio.pacs.peer import Peer
from dicomio.pacs.wire import Wire, connect

ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = 2, 3, 4, 5, 6, 7
COMMAND, LAST = 0b01, 0b10
"""Bits of a message control header (PS3.8 E.2)."""

RELEASE_TIMEOUT_S = 5.0
_ABORT_TIMEOUT_S = 1.0
_LONGEST_PDU = 16 * 1024 * 1024
"""Some peers ignore the maximum we announce; beyond this it is no PDU."""
_LONGEST_COMMAND = 64 * 1024
_PDU = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_RELEASE_RQ = _PDU.pack(RELEASE_RQ, 4) + bytes(4)
_RELEASE_RP = _PDU.pack(RELEASE_RP, 4) + bytes(4)
_ABORT_BY_USER = _PDU.pack(ABORT, 4) + bytes(4)


def nothing() -> None:
    """Do nothing while waiting."""


@dataclass(slots=True)
class Message:
    """A DIMSE message as it came."""

    context_id: int
    command: Command
    data: bytearray = field(default_factory=bytearray, repr=False)
    """The encoded data set; empty if there is none."""


@contextlib.contextmanager
def associated(
    peer: Peer,
    tls: SSLContext | None,
    contexts: Sequence[Context],
    *,
    receive: Sequence[str] = (),
    waiting: Callable[[], None] = nothing,
) -> Iterator[Association]:
    """Yield an association; it is released at the end, aborted after an error, closed always.

    Parameters
    ----------
    receive
        SOP classes for which we take the SCP role.
    waiting
        Called now and then until the peer has answered the request; what it raises ends the wait.

    Notes
    -----
    The peer may have accepted no context at all: `context_of` and `accepted` tell.

    Raises
    ------
    PeerUnavailable
        No connection, no answer in time, aborted, rejected for the moment.
    PeerRefused
        Rejected for good, TLS not agreed upon.
    """
    request = negotiation.request_pdu(peer, contexts, receive=receive)
    wire = connect(peer, tls)
    try:
        association = Association(wire, peer, contexts)
        association.negotiate(request, waiting)
        yield association
        association.release()
    except BaseException:
        _abort(wire)
        raise
    finally:
        wire.close()


class Association:
    """Messages over one connection; used by one thread."""

    def __init__(self, wire: Wire, peer: Peer, contexts: Sequence[Context]) -> None:
        self._wire = wire
        self._peer = peer
        self._proposed = contexts
        self._agreed = negotiation.Accepted({}, 0)
        self._complete: deque[Message] = deque()
        self._command_part = bytearray()
        self._unfinished: Message | None = None

    def negotiate(self, request: bytes, waiting: Callable[[], None]) -> None:
        """Send an A-ASSOCIATE-RQ and take the answer."""
        self._wire.send(request)
        kind, body = self._read_pdu(waiting)
        if kind == ASSOCIATE_RJ:
            raise negotiation.rejection(bytes(body), self._peer)
        if kind != ASSOCIATE_AC:
            raise self._not_expected(kind, body)
        pdu = _PDU.pack(kind, len(body)) + bytes(body)
        self._agreed = negotiation.accepted(pdu, self._proposed, self._peer)
        self._wire.timeout_s = self._peer.idle_timeout_s

    def context_of(self, abstract_syntax: str) -> AcceptedContext:
        """Return the accepted context of a SOP class; `PeerRefused` if there is none."""
        context = self._agreed.context_of(abstract_syntax)
        if not self._agreed.contexts:
            raise PeerRefused("the peer accepts no presentation context", peer=self._peer.name)
        if context is None:
            raise PeerRefused(
                "the peer does not offer the service", peer=self._peer.name, uid=abstract_syntax
            )
        return context

    def accepted(self, context_id: int) -> AcceptedContext | None:
        """Return the accepted context with this ID."""
        return self._agreed.contexts.get(context_id)

    def send(self, context_id: int, command: bytes, data: Buffer = b"") -> None:
        """Send one message, in large writes: small ones would wait for each other's answer."""
        parts = self._fragments(context_id, COMMAND, command)
        if data:
            parts = chain(parts, self._fragments(context_id, 0, data))
        self._wire.send_parts(parts)

    def receive(self, waiting: Callable[[], None]) -> Message:
        """Return the next message.

        Parameters
        ----------
        waiting
            Called several times a second while there is none; what it raises ends the wait.

        Raises
        ------
        PeerUnavailable
            Aborted, released, closed, idle for too long, or what came is not DICOM.
        """
        while not self._complete:
            kind, body = self._read_pdu(waiting)
            if kind != P_DATA_TF:
                raise self._not_expected(kind, body)
            try:
                self._take_values(body)
            except MalformedCommand as exc:
                raise self._malformed() from exc
        return self._complete.popleft()

    def expect(self, message: Message, field: int) -> None:
        """Raise `PeerUnavailable` if a message is not of the kind that can come now."""
        if message.command.field != field:
            raise self._malformed()

    def release(self) -> None:
        """Release; the answer is waited for, but not insisted on: all is said and done."""
        self._wire.timeout_s = min(RELEASE_TIMEOUT_S, self._wire.timeout_s)
        with contextlib.suppress(PeerUnavailable, PeerRefused):
            self._wire.send(_RELEASE_RQ)
            kind = 0
            while kind not in (RELEASE_RP, ABORT):
                kind, _ = self._read_pdu(nothing)
                if kind == RELEASE_RQ:  # both asked at once: PS3.8 7.2.2.7
                    self._wire.send(_RELEASE_RP)

    def _read_pdu(self, waiting: Callable[[], None]) -> tuple[int, memoryview]:
        kind, length = _PDU.unpack(self._wire.take(_PDU.size, waiting))
        if not ASSOCIATE_AC <= kind <= ABORT or length > _LONGEST_PDU:
            raise self._malformed()
        return kind, self._wire.take(length, waiting)

    def _take_values(self, body: memoryview) -> None:
        position = 0
        while position < len(body):
            if position + _PDV.size > len(body):
                raise MalformedCommand("a presentation data value is cut off")
            length, context_id, control = _PDV.unpack_from(body, position)
            start, end = position + _PDV.size, position + 4 + length
            if not start <= end <= len(body):
                raise MalformedCommand("a presentation data value is longer than its PDU")
            self._take_value(context_id, control, body[start:end])
            position = end

    def _take_value(self, context_id: int, control: int, value: memoryview) -> None:
        if control & COMMAND:
            self._take_command(context_id, control, value)
            return
        message = self._unfinished
        if message is None or message.context_id != context_id:
            raise MalformedCommand("a data set without a command set")
        if len(message.data) + len(value) > self._peer.max_data_set_bytes:
            raise MalformedCommand("a data set above the limit")
        message.data += value
        if control & LAST:
            self._complete.append(message)
            self._unfinished = None

    def _take_command(self, context_id: int, control: int, value: memoryview) -> None:
        if self._unfinished is not None or len(self._command_part) > _LONGEST_COMMAND:
            raise MalformedCommand("a command set within a message, or without an end")
        self._command_part += value
        if not control & LAST:
            return
        message = Message(context_id, commands.decode(self._command_part))
        self._command_part = bytearray()
        if message.command.has_data_set:
            self._unfinished = message
        else:
            self._complete.append(message)

    def _fragments(self, context_id: int, control: int, data: Buffer) -> Iterator[Buffer]:
        # fragments have an even length (PS3.8 Annex E.2): an odd maximum must not split a word
        size = (self._agreed.max_pdu - _PDV.size) & ~1
        view = memoryview(data)
        for start in range(0, len(view), size):
            part = view[start : start + size]
            flags = control | (LAST if start + size >= len(view) else 0)
            yield _PDU.pack(P_DATA_TF, len(part) + _PDV.size) + _PDV.pack(
                len(part) + 2, context_id, flags
            )
            yield part

    def _not_expected(self, kind: int, body: memoryview) -> PeerUnavailable:
        if kind == ABORT and len(body) >= 4:
            return PeerUnavailable(
                "the peer aborted the association",
                peer=self._peer.name,
                source=body[2],
                reason=body[3],
            )
        if kind == RELEASE_RQ:
            return PeerUnavailable("the peer released before it answered", peer=self._peer.name)
        return self._malformed()

    def _malformed(self) -> PeerUnavailable:
        return PeerUnavailable("what the peer sent is not DICOM", peer=self._peer.name)


def _abort(wire: Wire) -> None:
    wire.timeout_s = _ABORT_TIMEOUT_S
    with contextlib.suppress(PeerUnavailable, PeerRefused):
        wire.send(_ABORT_BY_USER)
