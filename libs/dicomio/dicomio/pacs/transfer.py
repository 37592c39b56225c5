"""C-MOVE and C-GET: one request, sub-operations, one final response (PS3.4 C.4.2 and C.4.3)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ssl import SSLContext

from dicomcore.errors import InvalidRequest
from dicomcore.ports import QueryLevel, SubOperations, TransferOutcome, TransferRequest
from dicomcore.received import Received
from dicomio.pacs import commands, contexts, identifiers
from dicomio.pacs.association import Association, associated
from dicomio.pacs.contexts import Context, service_context, storage_contexts
from dicomio.pacs.peer import Peer
from dicomio.pacs.reassembly import Message

MESSAGE_ID = 1
"""Each association carries one request of ours."""
PENDING = frozenset({0xFF00, 0xFF01})
CANCELLED = 0xFE00
SOP_CLASS_NOT_SUPPORTED = 0x0122
_POLL_S = 0.2
_AE_TITLE = re.compile(r"(?! *$)[ -\[\]-~]{1,16}")
"""PS3.5 6.2: 16 characters at most of the default repertoire but the backslash, not all spaces."""

Store = Callable[[Received], int]


@dataclass(frozen=True, slots=True)
class Watch:
    """What the caller wants to hear, and when it has had enough."""

    progress: Callable[[SubOperations], None]
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A C-MOVE or C-GET, ready to be sent."""

    model: str
    """The SOP class of the service."""
    field: int
    """Command Field of the request; that of its responses has the highest bit set."""
    identifier: bytes
    storage: tuple[Context, ...] = ()
    """Contexts on which instances come back, for C-GET."""
    destination: str = ""
    """AE title to move to, for C-MOVE."""

    @property
    def contexts(self) -> Sequence[Context]:
        """Every presentation context to ask for."""
        return (service_context(self.model), *self.storage)

    @property
    def classes(self) -> Sequence[str]:
        """Storage SOP classes for which we take the SCP role."""
        return sorted({context.abstract_syntax for context in self.storage})

    def command(self) -> bytes:
        """Return the command set of the request."""
        elements: dict[int, int | str] = {
            commands.AFFECTED_SOP_CLASS_UID: self.model,
            commands.COMMAND_FIELD: self.field,
            commands.MESSAGE_ID: MESSAGE_ID,
            commands.PRIORITY: commands.MEDIUM,
            commands.COMMAND_DATA_SET_TYPE: commands.DATA_SET_FOLLOWS,
        }
        if self.destination:
            elements[commands.MOVE_DESTINATION] = self.destination
        return commands.encode(elements)


def move(request: TransferRequest, destination: str) -> Transfer:
    """Return a C-MOVE; `InvalidRequest` where the destination is no AE title."""
    if not _AE_TITLE.fullmatch(destination):
        raise InvalidRequest("the move destination is no AE title", length=len(destination))
    root = request.level is QueryLevel.PATIENT
    return Transfer(
        model=contexts.PATIENT_ROOT_MOVE if root else contexts.STUDY_ROOT_MOVE,
        field=commands.C_MOVE_RQ,
        identifier=_identifier(request),
        destination=destination,
    )


def get(request: TransferRequest, sop_class_uids: Sequence[str]) -> Transfer:
    """Return a C-GET; `InvalidRequest` for no SOP class or too many."""
    root = request.level is QueryLevel.PATIENT
    return Transfer(
        model=contexts.PATIENT_ROOT_GET if root else contexts.STUDY_ROOT_GET,
        field=commands.C_GET_RQ,
        identifier=_identifier(request),
        storage=tuple(storage_contexts(sop_class_uids)),
    )


def run(
    transfer: Transfer, peer: Peer, tls: SSLContext | None, watch: Watch, store: Store | None
) -> TransferOutcome:
    """Carry out a transfer and return its final response.

    Parameters
    ----------
    store
        Takes each instance that comes on the association; None: none is expected.

    Returns
    -------
    TransferOutcome
        Of a cancelled transfer whose peer does not answer C-CANCEL in time: 0xFE00 and the last
        counters; the association was aborted.
    """
    with_peer = _Course(transfer, peer, watch, store)
    try:
        with associated(peer, tls, transfer.contexts, receive=transfer.classes) as association:
            return with_peer.on(association)
    except _CancelIgnored:
        return TransferOutcome(CANCELLED, with_peer.counters)


class _Course:
    """One transfer under way."""

    def __init__(self, transfer: Transfer, peer: Peer, watch: Watch, store: Store | None) -> None:
        self._transfer = transfer
        self._peer = peer
        self._watch = watch
        self._store = store
        self.counters = SubOperations()

    def on(self, association: Association) -> TransferOutcome:
        """Send the request, answer every C-STORE, return on the final response."""
        context = association.context_of(self._transfer.model)
        association.send(context.context_id, self._transfer.command(), self._transfer.identifier)
        cancel = _Cancel(association, context.context_id, self._watch, self._peer)
        while True:
            message = association.receive(cancel.poll)
            cancel.poll()  # also for a peer that never makes us wait
            if message.command.field == commands.C_STORE_RQ:
                self._answer_store(association, message)
                continue
            association.expect(message, self._transfer.field | commands.RESPONSE)
            self.counters = message.command.sub_operations
            self._watch.progress(self.counters)
            if message.command.status not in PENDING:
                return TransferOutcome(
                    status=message.command.status,
                    sub_operations=self.counters,
                    failed_uids=identifiers.failed_uids(message.data or message.command.rest),
                    comment=message.command.text(commands.ERROR_COMMENT),
                )

    def _answer_store(self, association: Association, message: Message) -> None:
        request = message.command
        context = association.accepted(message.context_id)
        status = SOP_CLASS_NOT_SUPPORTED
        if context is not None and self._store is not None:
            received = Received(
                sop_class_uid=request.text(commands.AFFECTED_SOP_CLASS_UID),
                sop_instance_uid=request.text(commands.AFFECTED_SOP_INSTANCE_UID),
                transfer_syntax_uid=context.transfer_syntax,
                data=message.data,
                calling_ae_title=self._peer.ae_title,
                sha256=message.sha256,
            )
            status = self._store(received)
            association.give_back(message)
        response: dict[int, int | str] = {
            commands.AFFECTED_SOP_CLASS_UID: request.text(commands.AFFECTED_SOP_CLASS_UID),
            commands.COMMAND_FIELD: commands.C_STORE_RQ | commands.RESPONSE,
            commands.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
            commands.COMMAND_DATA_SET_TYPE: commands.NO_DATA_SET,
            commands.STATUS: status,
            commands.AFFECTED_SOP_INSTANCE_UID: request.text(commands.AFFECTED_SOP_INSTANCE_UID),
        }
        association.send(message.context_id, commands.encode(response))


class _CancelIgnored(Exception):
    """The peer went on after C-CANCEL for longer than we wait."""


class _Cancel:
    """Asks now and then whether to cancel; sends C-CANCEL once, and gives up some time later."""

    def __init__(self, association: Association, context_id: int, watch: Watch, peer: Peer) -> None:
        self._association = association
        self._context_id = context_id
        self._cancelled = watch.cancelled
        self._timeout_s = peer.cancel_timeout_s
        self._sent_at: float | None = None
        self._asked_at = float("-inf")

    def poll(self) -> None:
        """Send C-CANCEL if it is time; `_CancelIgnored` if it was sent long ago."""
        now = time.monotonic()
        if self._sent_at is not None:
            if now - self._sent_at > self._timeout_s:
                raise _CancelIgnored
            return
        if now - self._asked_at < _POLL_S:
            return
        self._asked_at = now
        if self._cancelled():
            self._sent_at = now
            self._association.send(self._context_id, commands.encode(_CANCEL_RQ))


_CANCEL_RQ: dict[int, int | str] = {
    commands.COMMAND_FIELD: commands.C_CANCEL_RQ,
    commands.MESSAGE_ID_BEING_RESPONDED_TO: MESSAGE_ID,
    commands.COMMAND_DATA_SET_TYPE: commands.NO_DATA_SET,
}


def _identifier(request: TransferRequest) -> bytes:
    # Study Root's highest unique key is the study's (PS3.4 C.4.2.1.4): no patient ID goes along
    keys = {"QueryRetrieveLevel": request.level.value}
    if request.level is QueryLevel.PATIENT:
        keys["PatientID"] = request.patient_id
        return identifiers.encoded(keys)
    keys["StudyInstanceUID"] = request.study_instance_uid
    if request.series_instance_uid is not None:
        keys["SeriesInstanceUID"] = request.series_instance_uid
    if request.sop_instance_uids:
        keys["SOPInstanceUID"] = "\\".join(request.sop_instance_uids)
    return identifiers.encoded(keys)
