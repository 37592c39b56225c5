"""C-STORE sub-operations: encoded bytes go out as they are, on an association that is there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext

from dicomtools.demo.archive import Entry

MAXIMUM_CONTEXTS = 128
FAILED = 0xC000
_CONVERTIBLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_PAUSE_S = 0.0005


@dataclass(frozen=True, slots=True)
class Originator:
    """Who asked for a C-MOVE (PS3.7 9.1.1.1.6 and 9.1.1.1.7)."""

    ae_title: str
    message_id: int


def contexts_for(entries: Iterable[Entry]) -> list[PresentationContext]:
    """Return what to propose to a move destination, at most 128 contexts.

    A context for each pair of SOP class and stored transfer syntax, because an acceptor takes one
    syntax of a context; and one with Implicit VR Little Endian, which everyone accepts.
    """
    pairs = dict.fromkeys((entry.sop_class_uid, entry.transfer_syntax_uid) for entry in entries)
    plain = dict.fromkeys(
        (sop_class, str(ImplicitVRLittleEndian)) for sop_class, s in pairs if s in _CONVERTIBLE
    )
    return [build_context(*pair) for pair in (pairs | plain)][:MAXIMUM_CONTEXTS]


class Sender:
    """Sends instances over one association, one after another.

    Parameters
    ----------
    own_reactor
        Whether the association's reactor runs in a thread of its own (a sub-association that we
        requested) and must be held while an answer is awaited; otherwise we *are* that thread.
    """

    def __init__(self, assoc: Association, *, own_reactor: bool, originator: Originator | None):
        self._assoc = assoc
        self._own_reactor = own_reactor
        self._originator = originator
        self._message_id = 0

    def send(self, entry: Entry) -> tuple[int, int]:
        """Return the DIMSE status and the bytes sent; 0xC000 and 0 where it could not be tried."""
        context = _context(self._assoc.accepted_contexts, entry)
        if context is None:
            return FAILED, 0
        syntax = str(context.transfer_syntax[0])
        same = syntax == entry.transfer_syntax_uid
        body = entry.encoded() if same else entry.encoded_as(syntax)
        answer = self._exchange(self._request(entry, body), int(context.context_id or 0))
        if answer is None:
            return FAILED, 0
        return answer, len(body)

    def _request(self, entry: Entry, body: bytes) -> C_STORE:
        self._message_id = self._message_id % 65535 + 1
        request = C_STORE()
        request.MessageID = self._message_id
        request.AffectedSOPClassUID = UID(entry.sop_class_uid)
        request.AffectedSOPInstanceUID = UID(entry.sop_instance_uid)
        request.Priority = 2
        request.DataSet = BytesIO(body)
        if self._originator is not None:
            request.MoveOriginatorApplicationEntityTitle = self._originator.ae_title
            request.MoveOriginatorMessageID = self._originator.message_id
        return request

    def _exchange(self, request: C_STORE, context_id: int) -> int | None:
        if self._own_reactor:
            self._hold_reactor()
        try:
            self._assoc.dimse.send_msg(request, context_id)
            _, response = self._assoc.dimse.get_msg(block=True)
        finally:
            if self._own_reactor:
                self._assoc._reactor_checkpoint.set()  # noqa: SLF001 - see _hold_reactor
        status: Any = getattr(response, "Status", None)
        return None if status is None else int(status)

    def _hold_reactor(self) -> None:
        # what send_c_store does before it waits; it takes only a Dataset and would encode it anew
        self._assoc._reactor_checkpoint.clear()  # noqa: SLF001
        while not self._assoc._is_paused and self._assoc.is_alive():  # noqa: SLF001
            time.sleep(_PAUSE_S)


def _context(accepted: Sequence[PresentationContext], entry: Entry) -> PresentationContext | None:
    usable = [cx for cx in accepted if cx.as_scu and cx.abstract_syntax == entry.sop_class_uid]
    for context in usable:
        if context.transfer_syntax[0] == entry.transfer_syntax_uid:
            return context
    if entry.transfer_syntax_uid in _CONVERTIBLE:
        for context in usable:
            if context.transfer_syntax[0] in _CONVERTIBLE:
                return context
    return None
