"""C-STORE sub-operations: encoded bytes go out as they are, to a destination or back to who asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association as Accepted
from pynetdicom.dimse_primitives import C_STORE

from dicomcore.errors import DicomToolsError, PeerUnavailable
from dicomio.pacs import Peer, commands
from dicomio.pacs.association import Association, associated
from dicomio.pacs.contexts import MAX_CONTEXTS, Context
from dicomtools.demo.archive import Entry

FAILED = 0xC000
_CONVERTIBLE = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_MOVE_ORIGINATOR_AE_TITLE = 0x1030
_MOVE_ORIGINATOR_MESSAGE_ID = 0x1031
_LOW_PRIORITY = 2


@dataclass(frozen=True, slots=True)
class Originator:
    """Who asked for a C-MOVE (PS3.7 9.1.1.1.6 and 9.1.1.1.7)."""

    ae_title: str
    message_id: int


class Sender(Protocol):
    """Sends instances, one after another."""

    def send(self, entry: Entry) -> tuple[int, int]:
        """Return the DIMSE status and the bytes sent; 0xC000 and 0 where it could not be tried."""
        ...


@contextmanager
def to_destination(
    peer: Peer, originator: Originator, entries: Sequence[Entry]
) -> Iterator[Sender | None]:
    """Yield what sends to a move destination, on an association of its own; None if there is none.

    When the destination goes away in between, all that is still to be sent fails.
    """
    contexts = _proposed(entries)
    with ExitStack() as stack:
        try:
            association = stack.enter_context(associated(peer, None, contexts))
        except DicomToolsError:
            yield None
            return
        yield _ToDestination(association, contexts, originator)


class _ToDestination:
    def __init__(
        self, association: Association, contexts: Sequence[Context], originator: Originator
    ) -> None:
        self._association = association
        self._originator = originator
        self._message_id = 0
        self._gone = False
        agreed = (association.accepted(2 * index + 1) for index in range(len(contexts)))
        self._ids = {
            (context.abstract_syntax, context.transfer_syntax): context.context_id
            for context in agreed
            if context is not None
        }

    def send(self, entry: Entry) -> tuple[int, int]:
        syntax = chosen_syntax(entry, [s for uid, s in self._ids if uid == entry.sop_class_uid])
        if syntax is None or self._gone:
            return FAILED, 0
        self._message_id = self._message_id % 65535 + 1
        body = encoded_in(entry, syntax)
        if body is None:
            return FAILED, 0
        request = commands.encode(
            {
                commands.AFFECTED_SOP_CLASS_UID: entry.sop_class_uid,
                commands.COMMAND_FIELD: commands.C_STORE_RQ,
                commands.MESSAGE_ID: self._message_id,
                commands.PRIORITY: _LOW_PRIORITY,
                commands.COMMAND_DATA_SET_TYPE: commands.DATA_SET_FOLLOWS,
                commands.AFFECTED_SOP_INSTANCE_UID: entry.sop_instance_uid,
                _MOVE_ORIGINATOR_AE_TITLE: self._originator.ae_title,
                _MOVE_ORIGINATOR_MESSAGE_ID: self._originator.message_id,
            }
        )
        try:
            self._association.send(self._ids[entry.sop_class_uid, syntax], request, body)
            answer = self._association.receive(_nothing)
            self._association.expect(answer, commands.C_STORE_RQ | commands.RESPONSE)
        except PeerUnavailable:
            self._gone = True
            return FAILED, 0
        return answer.command.status, len(body)


class ToRequestor:
    """Sends over the association of a C-GET, in whose thread it is called."""

    def __init__(self, association: Accepted) -> None:
        self._association = association
        self._message_id = 0

    def send(self, entry: Entry) -> tuple[int, int]:
        """Return the DIMSE status and the bytes sent; 0xC000 and 0 where it could not be tried."""
        usable = {
            str(context.transfer_syntax[0]): context.context_id
            for context in reversed(self._association.accepted_contexts)
            if context.as_scu and context.abstract_syntax == entry.sop_class_uid
        }
        syntax = chosen_syntax(entry, list(usable))
        if syntax is None:
            return FAILED, 0
        body = encoded_in(entry, syntax)
        if body is None:
            return FAILED, 0
        self._message_id = self._message_id % 65535 + 1
        request = C_STORE()
        request.MessageID = self._message_id
        request.AffectedSOPClassUID = UID(entry.sop_class_uid)
        request.AffectedSOPInstanceUID = UID(entry.sop_instance_uid)
        request.Priority = _LOW_PRIORITY
        request.DataSet = BytesIO(body)
        # send_c_store takes a Dataset only and would encode it anew
        self._association.dimse.send_msg(request, usable[syntax] or 0)
        _, answer = self._association.dimse.get_msg(block=True)
        status = getattr(answer, "Status", None)
        return (FAILED, 0) if status is None else (int(status), len(body))


def chosen_syntax(entry: Entry, accepted: Sequence[str]) -> str | None:
    """Return the transfer syntax to send an instance in: its own, else another uncompressed one."""
    if entry.transfer_syntax_uid in accepted:
        return entry.transfer_syntax_uid
    if entry.transfer_syntax_uid not in _CONVERTIBLE:
        return None
    return next((syntax for syntax in accepted if syntax in _CONVERTIBLE), None)


def encoded_in(entry: Entry, syntax: str) -> bytes | None:
    """Return the data set in that transfer syntax, untouched if it is its own.

    None if its file is gone, or cannot be encoded anew.
    """
    try:
        return entry.encoded() if syntax == entry.transfer_syntax_uid else entry.encoded_as(syntax)
    except (AttributeError, EOFError, KeyError, NotImplementedError, OSError, ValueError):
        return None


def _proposed(entries: Iterable[Entry]) -> list[Context]:
    """Return what to propose to a destination, at most 128 contexts.

    A context for each pair of SOP class and stored transfer syntax, because an acceptor takes one
    syntax of a context; and one with Implicit VR Little Endian, which everyone accepts.
    """
    pairs = dict.fromkeys((entry.sop_class_uid, entry.transfer_syntax_uid) for entry in entries)
    plain = dict.fromkeys(
        (uid, str(ImplicitVRLittleEndian)) for uid, syntax in pairs if syntax in _CONVERTIBLE
    )
    return [Context(uid, (syntax,)) for uid, syntax in pairs | plain][:MAX_CONTEXTS]


def _nothing() -> None:
    return None
