"""An association we asked for: whole DIMSE messages in and out (PS3.8 9.3, PS3.7 6.3)."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ssl import SSLContext

from dicomcore.errors import PeerRefused, PeerUnavailable
from dicomcore.walk import Buffer
from dicomio.pacs import negotiation, pdu
from dicomio.pacs.contexts import Context
from dicomio.pacs.memory import MemorySink
from dicomio.pacs.negotiation import AcceptedContext
from dicomio.pacs.peer import Peer
from dicomio.pacs.reassembly import MalformedMessage, Message, Reassembly
from dicomio.pacs.wire import Wire, connect

RELEASE_TIMEOUT_S = 5.0
_ABORT_TIMEOUT_S = 1.0
_LONGEST_PDU = 16 * 1024 * 1024
"""Some peers ignore the maximum we announce; beyond this it is no PDU."""


def nothing() -> None:
    """Do nothing while waiting."""


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
        self._sink = MemorySink(peer.max_data_set_bytes, self._transfer_syntax)
        self._reassembly = Reassembly(self._sink)

    def negotiate(self, request: bytes, waiting: Callable[[], None]) -> None:
        """Send an A-ASSOCIATE-RQ and take the answer."""
        self._wire.send(request)
        kind, body = self._read_pdu(waiting)
        if kind == pdu.ASSOCIATE_RJ:
            raise negotiation.rejection(bytes(body), self._peer)
        if kind != pdu.ASSOCIATE_AC:
            raise self._not_expected(kind, body)
        answer = pdu.HEADER.pack(kind, len(body)) + bytes(body)
        self._agreed = negotiation.accepted(answer, self._proposed, self._peer)
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

    def give_back(self, message: Message) -> None:
        """Let the memory of a message's data set be used again; nobody may use it any more."""
        self._sink.give_back(message.data)

    def send(self, context_id: int, command: bytes, data: Buffer = b"") -> None:
        """Send one message, in large writes: small ones would wait for each other's answer."""
        longest = self._agreed.max_pdu
        parts = pdu.fragments(context_id, pdu.COMMAND, command, max_pdu=longest)
        if data:
            parts += pdu.fragments(context_id, 0, data, max_pdu=longest)
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
            kind, length = self._read_header(waiting)
            if kind != pdu.P_DATA_TF:
                raise self._not_expected(kind, self._wire.take(length, waiting))
            try:
                self._complete.extend(self._reassembly.messages(self._wire.source(waiting), length))
            except MalformedMessage as exc:
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
            self._wire.send(pdu.release_request())
            kind = 0
            while kind not in (pdu.RELEASE_RP, pdu.ABORT):
                kind, _ = self._read_pdu(nothing)
                if kind == pdu.RELEASE_RQ:  # both asked at once: PS3.8 7.2.2.7
                    self._wire.send(pdu.release_reply())

    def _transfer_syntax(self, context_id: int) -> str:
        context = self.accepted(context_id)
        return "" if context is None else context.transfer_syntax

    def _read_pdu(self, waiting: Callable[[], None]) -> tuple[int, memoryview]:
        kind, length = self._read_header(waiting)
        return kind, self._wire.take(length, waiting)

    def _read_header(self, waiting: Callable[[], None]) -> tuple[int, int]:
        kind, length = pdu.HEADER.unpack(self._wire.take(pdu.HEADER.size, waiting))
        if not pdu.ASSOCIATE_AC <= kind <= pdu.ABORT or length > _LONGEST_PDU:
            raise self._malformed()
        return kind, length

    def _not_expected(self, kind: int, body: memoryview) -> PeerUnavailable:
        if kind == pdu.ABORT and len(body) >= 4:
            return PeerUnavailable(
                "the peer aborted the association",
                peer=self._peer.name,
                source=body[2],
                reason=body[3],
            )
        if kind == pdu.RELEASE_RQ:
            return PeerUnavailable("the peer released before it answered", peer=self._peer.name)
        return self._malformed()

    def _malformed(self) -> PeerUnavailable:
        return PeerUnavailable("what the peer sent is not DICOM", peer=self._peer.name)


def _abort(wire: Wire) -> None:
    wire.timeout_s = _ABORT_TIMEOUT_S
    with contextlib.suppress(PeerUnavailable, PeerRefused):
        wire.send(pdu.abort())
