"""A Storage SCP that does as it is told: what it accepts, what it answers, when it aborts or is silent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.presentation import PresentationContext

from dicomio.pacs import commands
from tests.peers.dcmtk import Node
from tests.peers.processes import LOOPBACK
from tests.peers.scripted import values

DEADLINE_S = 60.0
ASSOCIATE_RQ, P_DATA, RELEASE_RQ, ABORT = 1, 4, 5, 7
_RELEASE_RP = b"\6\0\0\0\0\4" + bytes(4)
_ABORT = b"\7\0\0\0\0\4" + bytes(4)


class Ending(Enum):
    """What may be answered instead of a status."""

    ABORT = auto()
    """A-ABORT, and the connection is closed."""
    SILENCE = auto()
    """Nothing, until the client goes away."""
    CLOSE = auto()
    """The connection is closed without a word."""


@dataclass(frozen=True)
class Taken:
    """One C-STORE request that came."""

    number: int
    """0-based, over all associations, in the order in which they came."""
    association: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes = field(repr=False)
    before: int = 0
    """How often this instance came before."""


Answer = Callable[[Taken], "int | Ending"]
Choose = Callable[[str, list[str]], "str | None"]
"""Abstract syntax and proposed transfer syntaxes to the one that is accepted, or none."""


@dataclass
class Taker:
    """What came so far, and the rules; used by the threads of all associations."""

    node: Node
    answer: Answer = lambda taken: 0x0000
    choose: Choose = lambda abstract, proposed: proposed[0]
    comment: str = ""
    max_pdu: int = 16384
    most_associations: int = 100
    """At a time; more are rejected for the moment."""
    taken: list[Taken] = field(default_factory=list)
    stored: dict[str, Taken] = field(default_factory=dict)
    """By SOP Instance UID: what was answered Success or a warning."""
    associations: int = 0
    at_once: int = 0
    """The largest number of associations that were open at the same time."""
    proposed: list[list[tuple[str, tuple[str, ...]]]] = field(default_factory=list)
    """Contexts of each association request."""
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def uids(self) -> list[str]:
        """What came, in order."""
        return [one.sop_instance_uid for one in self.taken]

    @property
    def stored_uids(self) -> list[str]:
        """What was stored, in order."""
        return list(self.stored)


@contextlib.contextmanager
def taker(
    answer: Answer | None = None,
    *,
    choose: Choose | None = None,
    tls: ssl.SSLContext | None = None,
    ae_title: str = "TAKER",
) -> Iterator[Taker]:
    """Yield a Storage SCP on a free loopback port."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        made = Taker(Node(ae_title, listener.getsockname()[1]))
        made.answer = answer or made.answer
        made.choose = choose or made.choose
        threads: list[threading.Thread] = []
        connections: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                thread = threading.Thread(target=_serve, args=(made, connection, tls), daemon=True)
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept, name="taker", daemon=True)
        accepting.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(DEADLINE_S)
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(DEADLINE_S)


def _serve(made: Taker, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    connection.settimeout(DEADLINE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(OSError, EOFError))
        stack.enter_context(connection)
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
        _Association(made, connection).run()


class _Association:
    def __init__(self, made: Taker, connection: socket.socket) -> None:
        self._made = made
        self._connection = connection
        self._number = 0
        self._contexts: dict[int, tuple[str, str]] = {}

    def run(self) -> None:
        kind, request = self._pdu()
        if kind != ASSOCIATE_RQ:
            return
        made = self._made
        with made._lock:
            self._number = made.associations
            made.associations += 1
            full = made._open >= made.most_associations
            made._open += not full
            made.at_once = max(made.at_once, made._open)
        if full:
            # rejected-transient, by the presentation-related function, local limit exceeded
            self._connection.sendall(b"\3\0\0\0\0\4\0\2\3\2")
            return
        try:
            self._connection.sendall(self._accepting(request))
            self._messages()
        finally:
            with made._lock:
                made._open -= 1

    def _messages(self) -> None:
        command, data, context_id = bytearray(), bytearray(), 0
        while True:
            kind, pdu = self._pdu()
            if kind == RELEASE_RQ:
                self._connection.sendall(_RELEASE_RP)
                return
            if kind != P_DATA:
                return
            position = 6
            while position < len(pdu):
                length, context_id, control = struct.unpack_from(">IBB", pdu, position)
                part = pdu[position + 6 : position + 4 + length]
                position += 4 + length
                assert length % 2 == 0, "a fragment of odd length (PS3.8 E.2)"
                (command if control & 1 else data).extend(part)
                if control == 0b10:
                    if not self._take(context_id, commands.decode(command), bytes(data)):
                        return
                    command, data = bytearray(), bytearray()

    def _take(self, context_id: int, request: commands.Command, data: bytes) -> bool:
        made = self._made
        uid = request.text(commands.AFFECTED_SOP_INSTANCE_UID)
        with made._lock:
            one = Taken(
                len(made.taken),
                self._number,
                request.text(commands.AFFECTED_SOP_CLASS_UID),
                uid,
                self._contexts[context_id][1],
                data,
                before=made.uids.count(uid),
            )
            made.taken.append(one)
        answer = made.answer(one)
        if answer is Ending.ABORT:
            self._connection.sendall(_ABORT)
        if answer is Ending.SILENCE:
            self._connection.recv(1)
        if isinstance(answer, Ending):
            return False
        if answer == 0 or answer >> 12 == 0xB:
            with made._lock:
                made.stored.setdefault(uid, one)
        response: dict[int, int | str] = {
            commands.AFFECTED_SOP_CLASS_UID: one.sop_class_uid,
            commands.COMMAND_FIELD: commands.C_STORE_RQ | commands.RESPONSE,
            commands.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
            commands.COMMAND_DATA_SET_TYPE: commands.NO_DATA_SET,
            commands.STATUS: answer,
            commands.AFFECTED_SOP_INSTANCE_UID: uid,
        }
        if answer and made.comment:
            response[commands.ERROR_COMMENT] = made.comment
        self._connection.sendall(values((context_id, 0b11, commands.encode(response))))
        return True

    def _accepting(self, request_pdu: bytes) -> bytes:
        request = A_ASSOCIATE_RQ()
        request.decode(request_pdu)
        primitive = request.to_primitive()
        proposed = primitive.presentation_context_definition_list
        self._made.proposed.append(
            [(str(c.abstract_syntax), tuple(map(str, c.transfer_syntax))) for c in proposed]
        )
        primitive.presentation_context_definition_results_list = [
            self._answered(context) for context in proposed
        ]
        for item in primitive.user_information:
            if hasattr(item, "maximum_length_received"):
                item.maximum_length_received = self._made.max_pdu
        primitive.result = 0
        answer = A_ASSOCIATE_AC()
        answer.from_primitive(primitive)
        encoded: bytes = answer.encode()
        return encoded

    def _answered(self, context: PresentationContext) -> PresentationContext:
        agreed = PresentationContext()
        agreed.context_id = context.context_id
        agreed.abstract_syntax = context.abstract_syntax
        offered = [str(syntax) for syntax in context.transfer_syntax]
        chosen = self._made.choose(str(context.abstract_syntax), offered)
        agreed.result = 3 if chosen is None else 0
        agreed.transfer_syntax = [chosen or offered[0]]
        if chosen is not None:
            self._contexts[context.context_id or 0] = (str(context.abstract_syntax), chosen)
        return agreed

    def _pdu(self) -> tuple[int, bytes]:
        header = self._read(6)
        return header[0], header + self._read(struct.unpack(">I", header[2:])[0])

    def _read(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self._connection.recv(min(length - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)
