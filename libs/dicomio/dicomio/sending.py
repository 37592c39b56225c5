"""Carries out a plan of sends: batch after batch, images over several associations, the rest in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from dicomcore.errors import DicomToolsError, PeerRefused, PeerUnavailable
from dicomcore.ports import Outgoing, Pacs, StoreOutcome
from dicomcore.sending.values import Batch, Send, SendPlan

log = structlog.get_logger(__name__)

DEFAULT_ASSOCIATIONS = 4


@dataclass(frozen=True, slots=True)
class SendParts:
    """What sending works with."""

    pacs: Pacs
    outgoing: Callable[[Send], Outgoing]
    """What is sent for a send; what it raises of ours is the outcome of that one."""
    associations: int = DEFAULT_ASSOCIATIONS
    """At most so many at a time, for what may go in any order."""


@dataclass(frozen=True, slots=True)
class SendReport:
    """How sending ended."""

    outcomes: tuple[tuple[Send, StoreOutcome], ...] = ()
    """What became of each instance that was tried, in the order in which it was told."""
    not_sent: tuple[Send, ...] = ()
    """What was not tried, or whose outcome is not known, in order."""
    stopped_by: tuple[Send, StoreOutcome] | None = None
    """The first object of a plan that was not stored, after which nothing was sent."""
    error: DicomToolsError | None = None
    """Why no association was to be had (any more)."""

    @property
    def stored(self) -> int:
        """How many instances the receiver has acknowledged."""
        return sum(outcome.stored for _, outcome in self.outcomes)

    @property
    def failed(self) -> tuple[tuple[Send, StoreOutcome], ...]:
        """What was tried and is not stored."""
        return tuple((send, outcome) for send, outcome in self.outcomes if not outcome.stored)

    @property
    def complete(self) -> bool:
        """Whether everything is stored."""
        return not self.not_sent and not self.failed and self.error is None


def send_all(
    plan: SendPlan,
    parts: SendParts,
    *,
    told: Callable[[Send, StoreOutcome], None],
    cancelled: Callable[[], bool],
) -> SendReport:
    """Send what a plan holds, until all is sent, an object of a plan fails, or it is cancelled.

    Parameters
    ----------
    told
        Called once with each outcome, by one thread at a time, before what comes after it in order
        is sent. What it raises ends the sending and is raised.
    cancelled
        Asked before each instance.
    """
    return _Run(parts, told, cancelled).of(plan)


class _Run:
    def __init__(
        self,
        parts: SendParts,
        told: Callable[[Send, StoreOutcome], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._parts = parts
        self._told = told
        self._cancelled = cancelled
        self._outcomes: list[tuple[Send, StoreOutcome]] = []
        self._stopped_by: tuple[Send, StoreOutcome] | None = None
        self._fault: BaseException | None = None

    def of(self, plan: SendPlan) -> SendReport:
        error: DicomToolsError | None = None
        for batch in plan.batches:
            if self._over():
                break
            try:
                self._batch(batch)
            except (PeerUnavailable, PeerRefused) as exc:
                error = exc
                break
        if self._fault is not None:
            raise self._fault
        tried = {send.uid for send, _ in self._outcomes}
        return SendReport(
            outcomes=tuple(self._outcomes),
            not_sent=tuple(send for send in plan.sends() if send.uid not in tried),
            stopped_by=self._stopped_by,
            error=error,
        )

    def _batch(self, batch: Batch) -> None:
        ready = self._ready(batch.sends)
        if not ready or self._over():
            return
        by_uid = {outgoing.sop_instance_uid: send for send, outgoing in ready}
        self._parts.pacs.store(
            [outgoing for _, outgoing in ready],
            answered=lambda outgoing, outcome: self._note(
                by_uid[outgoing.sop_instance_uid], outcome
            ),
            associations=self._parts.associations if batch.orderless else 1,
            cancelled=self._over,
        )

    def _ready(self, sends: Sequence[Send]) -> list[tuple[Send, Outgoing]]:
        ready: list[tuple[Send, Outgoing]] = []
        for send in sends:
            try:
                ready.append((send, self._parts.outgoing(send)))
            except DicomToolsError as exc:
                self._note(send, StoreOutcome(stored=False, problem=exc.sentence))
                if self._over():
                    break
        return ready

    def _note(self, send: Send, outcome: StoreOutcome) -> None:
        self._outcomes.append((send, outcome))
        if not outcome.stored:
            log.warning(
                "instance_not_stored",
                sop_instance_uid=send.uid,
                statuses=[f"0x{status:04X}" for status in outcome.statuses],
                problem=outcome.problem,
            )
            if send.plan is not None and self._stopped_by is None:
                self._stopped_by = send, outcome
        try:
            self._told(send, outcome)
        except BaseException as exc:  # noqa: BLE001 - raised again once the associations are released
            self._fault = self._fault or exc

    def _over(self) -> bool:
        return self._fault is not None or self._stopped_by is not None or self._cancelled()
