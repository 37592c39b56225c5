"""`DicomPacs`: the port `Pacs` on associations with one peer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog
from pydicom import Dataset

from dicomcore.errors import PeerRefused, PeerUnavailable, Unreadable
from dicomcore.ports import (
    Outgoing,
    QueryLevel,
    StoreOutcome,
    SubOperations,
    TransferOutcome,
    TransferRequest,
)
from dicomcore.received import Received
from dicomcore.walk import Buffer
from dicomio.pacs import commands, contexts, identifiers, storing, transfer
from dicomio.pacs.association import Association, associated, nothing
from dicomio.pacs.contexts import service_context
from dicomio.pacs.peer import Peer, ssl_context
from dicomio.pacs.storing import Course, Retry
from dicomio.pacs.transfer import MESSAGE_ID, PENDING, Watch
from dicomio.pynetdicom_config import configure

log = structlog.get_logger(__name__)

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700


class DicomPacs:
    """One peer. Threads may share it: each call has an association of its own, and no state."""

    def __init__(self, peer: Peer, *, retry: Retry = Retry()) -> None:  # noqa: B008 - frozen
        """Load what TLS needs; nothing is connected before the first call.

        Parameters
        ----------
        retry
            How often C-STORE is tried again.

        Raises
        ------
        InvalidRequest
            A certificate or key cannot be loaded.
        """
        configure()
        self._peer = peer
        self._retry = retry
        self._tls = None if peer.tls is None else ssl_context(peer.tls)

    def echo(self) -> float:
        started = time.monotonic()
        command = commands.encode(
            {
                commands.AFFECTED_SOP_CLASS_UID: contexts.VERIFICATION,
                commands.COMMAND_FIELD: commands.C_ECHO_RQ,
                commands.MESSAGE_ID: MESSAGE_ID,
                commands.COMMAND_DATA_SET_TYPE: commands.NO_DATA_SET,
            }
        )
        asked = [service_context(contexts.VERIFICATION)]
        with associated(self._peer, self._tls, asked) as association:
            association.send(association.context_of(contexts.VERIFICATION).context_id, command)
            answer = association.receive(nothing)
            association.expect(answer, commands.C_ECHO_RQ | commands.RESPONSE)
        if answer.command.status != SUCCESS:
            raise self._refused(answer.command.status)
        return time.monotonic() - started

    def find(self, level: QueryLevel, keys: Mapping[str, str]) -> Sequence[Dataset]:
        return self.find_many(level, [keys])[0]

    def find_many(
        self, level: QueryLevel, queries: Sequence[Mapping[str, str]]
    ) -> Sequence[Sequence[Dataset]]:
        model = contexts.STUDY_ROOT_FIND
        if level is QueryLevel.PATIENT:  # which Study Root does not have
            model = contexts.PATIENT_ROOT_FIND
        if not queries:
            return []
        answers: list[Sequence[Buffer]] = []
        status = SUCCESS
        with associated(self._peer, self._tls, [service_context(model)]) as association:
            for keys in queries:
                status, replies = self._ask(association, model, level, keys)
                answers.append(replies)
                if status != SUCCESS:
                    break
        if status != SUCCESS:
            raise self._refused(status)
        return [list(self._readable(replies)) for replies in answers]

    def _ask(
        self, association: Association, model: str, level: QueryLevel, keys: Mapping[str, str]
    ) -> tuple[int, Sequence[Buffer]]:
        """Return the final status of one C-FIND, and the replies before it."""
        identifier = identifiers.encoded({"QueryRetrieveLevel": level.value, **keys})
        command = commands.encode(
            {
                commands.AFFECTED_SOP_CLASS_UID: model,
                commands.COMMAND_FIELD: commands.C_FIND_RQ,
                commands.MESSAGE_ID: MESSAGE_ID,
                commands.PRIORITY: commands.MEDIUM,
                commands.COMMAND_DATA_SET_TYPE: commands.DATA_SET_FOLLOWS,
            }
        )
        association.send(association.context_of(model).context_id, command, identifier)
        replies: list[Buffer] = []
        while True:
            answer = association.receive(nothing)
            association.expect(answer, commands.C_FIND_RQ | commands.RESPONSE)
            if answer.command.status not in PENDING:
                return answer.command.status, replies
            replies.append(answer.data)

    def move(
        self,
        request: TransferRequest,
        *,
        destination: str,
        progress: Callable[[SubOperations], None],
        cancelled: Callable[[], bool],
    ) -> TransferOutcome:
        watch = Watch(progress, cancelled)
        return transfer.run(
            transfer.move(request, destination), self._peer, self._tls, watch, store=None
        )

    def get(
        self,
        request: TransferRequest,
        *,
        sop_class_uids: Sequence[str],
        receive: Callable[[Received], int],
        progress: Callable[[SubOperations], None],
        cancelled: Callable[[], bool],
    ) -> TransferOutcome:
        watch = Watch(progress, cancelled)
        return transfer.run(
            transfer.get(request, sop_class_uids), self._peer, self._tls, watch, store=receive
        )

    def store(
        self,
        instances: Sequence[Outgoing],
        *,
        answered: Callable[[Outgoing, StoreOutcome], None],
        associations: int = 1,
        cancelled: Callable[[], bool],
    ) -> None:
        course = Course(answered, cancelled, associations, self._retry)
        storing.store(instances, self._peer, self._tls, course)

    def _refused(self, status: int) -> PeerRefused | PeerUnavailable:
        facts = {"peer": self._peer.name, "status": f"0x{status:04X}"}
        if status == OUT_OF_RESOURCES:
            return PeerUnavailable("the peer is out of resources", **facts)
        return PeerRefused("the peer cannot do what was asked", **facts)

    def _readable(self, replies: Sequence[Buffer]) -> Iterator[Dataset]:
        for reply in replies:
            try:
                yield identifiers.decoded(reply)
            except Unreadable:
                log.warning("reply_skipped", peer=self._peer.name, size_bytes=len(reply))
