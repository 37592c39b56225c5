"""Instances over one association: while the peer stores one, the next is read from disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dicomcore.errors import DicomToolsError, PeerUnavailable
from dicomcore.ports import Outgoing, StoreOutcome
from dicomcore.transcode import transcoded
from dicomcore.walk import Buffer
from dicomio.pacs import commands
from dicomio.pacs.association import Association
from dicomio.pacs.commands import Command
from dicomio.pacs.contexts import Context
from dicomio.pacs.negotiation import AcceptedContext
from dicomio.pacs.peer import Peer
from dicomio.pacs.presentation import chosen_context

SUCCESS = 0x0000
WARNINGS = frozenset({0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007})
"""Stored all the same: PS3.4 Table B.2-1, PS3.7 Annex C."""
OUT_OF_RESOURCES = range(0xA700, 0xA800)


@dataclass(slots=True)
class Parcel:
    """One instance on its way."""

    instance: Outgoing
    statuses: list[int] = field(default_factory=list)
    attempts: int = 0
    """How often it was sent, answered or not."""


class Depot(Protocol):
    """Where parcels come from, and where it is told what became of them."""

    @property
    def attempts(self) -> int:
        """How often an instance is tried at most."""
        ...

    def pause_after(self, attempt: int) -> None:
        """Wait before an instance is sent again."""
        ...

    def stopped(self) -> bool:
        """Whether nothing more is to be sent."""
        ...

    def take(self) -> Parcel | None:
        """Return the next one."""
        ...

    def put_back(self, parcels: Sequence[Parcel]) -> None:
        """Take back what was not answered, first in, first out."""
        ...

    def answer(self, parcel: Parcel, outcome: StoreOutcome) -> None:
        """Hear what became of one."""
        ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A parcel whose bytes are in memory, encoded for a context."""

    parcel: Parcel
    context: AcceptedContext
    data: Buffer


class Line:
    """One association's share of the work; used by one thread."""

    def __init__(self, peer: Peer, contexts: Sequence[Context], depot: Depot) -> None:
        self._peer = peer
        self._contexts = contexts
        self._depot = depot
        self._message_id = 0
        self._stopped_at: float | None = None
        self.opened = False
        self.answers = 0
        """Responses that came."""

    def serve(self, association: Association) -> None:
        """Send until nothing is left or nothing more is to be sent.

        Raises
        ------
        PeerUnavailable
            The association is lost; what was not answered is back in the depot.
        """
        self.opened = True
        ahead = self._next(association)
        while ahead is not None:
            current, ahead = ahead, None
            try:
                self._send(association, current)
                ahead = self._next(association)
                answer = self._receive(association)
            except PeerUnavailable as exc:
                self._lost(current, ahead, exc)
                raise
            again = self._settle(current, answer)
            if again is not None and self._depot.stopped():
                again = None  # nobody is told: it is not stored, and was not given up
            if again is not None:
                if ahead is not None:
                    self._depot.put_back([ahead.parcel])
                ahead = again
            elif ahead is not None and self._depot.stopped():
                self._depot.put_back([ahead.parcel])
                return

    def _next(self, association: Association) -> _Loaded | None:
        """Return the next parcel that can be sent; what became of the others is told."""
        while (parcel := self._depot.take()) is not None:
            context = chosen_context(parcel.instance, self._contexts, association.accepted)
            if isinstance(context, str):
                self._fail(parcel, context)
                continue
            try:
                data = parcel.instance.load()
                syntax = parcel.instance.transfer_syntax_uid
                if context.transfer_syntax != syntax:
                    data = transcoded(data, syntax, context.transfer_syntax)
            except DicomToolsError as exc:
                self._fail(parcel, exc.sentence)
                continue
            return _Loaded(parcel, context, data)
        return None

    def _send(self, association: Association, loaded: _Loaded) -> None:
        self._message_id = self._message_id % 0xFFFF + 1
        loaded.parcel.attempts += 1
        instance = loaded.parcel.instance
        request = commands.encode(
            {
                commands.AFFECTED_SOP_CLASS_UID: instance.sop_class_uid,
                commands.COMMAND_FIELD: commands.C_STORE_RQ,
                commands.MESSAGE_ID: self._message_id,
                commands.PRIORITY: commands.MEDIUM,
                commands.COMMAND_DATA_SET_TYPE: commands.DATA_SET_FOLLOWS,
                commands.AFFECTED_SOP_INSTANCE_UID: instance.sop_instance_uid,
            }
        )
        association.send(loaded.context.context_id, request, loaded.data)

    def _receive(self, association: Association) -> Command:
        answer = association.receive(self._until_stopped)
        association.expect(answer, commands.C_STORE_RQ | commands.RESPONSE)
        if answer.command.number(commands.MESSAGE_ID_BEING_RESPONDED_TO) != self._message_id:
            raise PeerUnavailable("the peer answered another request", peer=self._peer.name)
        self.answers += 1
        return answer.command

    def _until_stopped(self) -> None:
        """End the wait for an answer some time after nothing more is wanted."""
        if not self._depot.stopped():
            return
        now = time.monotonic()
        self._stopped_at = self._stopped_at or now
        if now - self._stopped_at > self._peer.cancel_timeout_s:
            raise PeerUnavailable("stopped before the peer answered", peer=self._peer.name)

    # ── what became of it ───────────────────────────────────────────────────────────────────

    def _settle(self, loaded: _Loaded, answer: Command) -> _Loaded | None:
        """Tell the outcome; return what is to be sent again, after a pause."""
        parcel, status = loaded.parcel, answer.status
        parcel.statuses.append(status)
        if status in OUT_OF_RESOURCES and parcel.attempts < self._depot.attempts:
            self._depot.pause_after(parcel.attempts)
            return loaded
        stored = status == SUCCESS or status in WARNINGS
        self._depot.answer(
            parcel,
            StoreOutcome(
                stored=stored,
                statuses=tuple(parcel.statuses),
                comment=answer.text(commands.ERROR_COMMENT),
                problem="" if stored else "the peer did not store it",
                transfer_syntax_uid=loaded.context.transfer_syntax,
                size_bytes=len(loaded.data),
            ),
        )
        return None

    def _lost(self, current: _Loaded, ahead: _Loaded | None, error: PeerUnavailable) -> None:
        back = [] if ahead is None else [ahead.parcel]
        if current.parcel.attempts < self._depot.attempts or self._depot.stopped():
            back.insert(0, current.parcel)
        else:
            self._fail(current.parcel, error.sentence)
        self._depot.put_back(back)

    def _fail(self, parcel: Parcel, problem: str) -> None:
        self._depot.answer(
            parcel,
            StoreOutcome(stored=False, statuses=tuple(parcel.statuses), problem=problem),
        )
