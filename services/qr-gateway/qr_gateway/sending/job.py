"""One job: from the object store to a peer, going on where an earlier attempt stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from dicomcore.errors import Unavailable
from dicomcore.ports import ObjectStore, Pacs, StoreOutcome
from dicomcore.sending.order import plan_sends
from dicomcore.sending.values import Send, SendPlan
from dicomio.jobs.states import Progress, State
from dicomio.sending import SendParts, SendReport, send_all
from qr_gateway.sending.model import NotSent, SendingReport, SendRequest, SentItem
from qr_gateway.sending.stored import StoredInstances

SAVE_EVERY_S = 1.0
"""After a crash, what was acknowledged since the last save is sent again."""
_SAVED = TypeAdapter(tuple[SentItem, ...])


@dataclass(frozen=True, slots=True)
class SendingParts:
    """What a job works with."""

    store: ObjectStore
    pacs: Pacs
    associations: int


@dataclass(frozen=True, slots=True)
class Listener:
    """What the job's keeper wants to hear, and says."""

    saved: bytes | None
    """What an earlier attempt saved."""
    save: Callable[[bytes], None]
    progress: Callable[[Progress], None]
    cancelled: Callable[[], bool]


def send_studies(request: SendRequest, parts: SendingParts, listener: Listener) -> SendingReport:
    """Send what a request names and return how that ended.

    Raises
    ------
    NotFound
        Nothing of it is in the object store.
    PeerUnavailable, ObjectStoreUnavailable
        For the moment; what was acknowledged is saved.
    PeerRefused
        The peer refuses every association.
    """
    stored = StoredInstances(parts.store, request.study_instance_uids, request.sop_instance_uids)
    plan = plan_sends(stored.headers, request.policy())
    course = _Course(plan, listener)
    if plan.problems:
        return course.refused()
    report = send_all(
        course.left,
        SendParts(pacs=parts.pacs, outgoing=stored.outgoing, associations=parts.associations),
        told=course.told,
        cancelled=listener.cancelled,
    )
    course.save()
    if report.error is not None and (not course.sent or isinstance(report.error, Unavailable)):
        raise report.error
    return course.ended(report, unreadable=len(stored.unreadable))


class _Course:
    """What one job has done so far, over all attempts."""

    def __init__(self, plan: SendPlan, listener: Listener) -> None:
        self._plan = plan
        self._listener = listener
        self.sent: dict[str, SentItem] = _restored(listener.saved)
        """By SOP Instance UID."""
        self.left = plan.without(self.sent)
        """What is still to be sent."""
        self._expected = len(tuple(plan.sends()))
        self._bytes = sum(item.size_bytes for item in self.sent.values())
        self._requests = 0
        self._saved_at = time.monotonic()
        self._tell(step="")

    def told(self, send: Send, outcome: StoreOutcome) -> None:
        """Note what became of an instance."""
        self._requests += len(outcome.statuses)
        if outcome.stored:
            self._bytes += outcome.size_bytes
            self.sent[send.uid] = SentItem(
                sop_instance_uid=send.uid,
                sop_class_uid=send.header.sop_class_uid,
                role=send.role.value,
                statuses=outcome.statuses,
                transfer_syntax_uid=outcome.transfer_syntax_uid,
                size_bytes=outcome.size_bytes,
                machines=dict(send.machines),
            )
            if time.monotonic() - self._saved_at > SAVE_EVERY_S:
                self.save()
        self._tell(step=send.role.value)

    def save(self) -> None:
        """Keep what the peer has acknowledged, for the next attempt."""
        self._listener.save(_SAVED.dump_json(tuple(self.sent.values())))
        self._saved_at = time.monotonic()

    def refused(self) -> SendingReport:
        """Return the report of a job that was not begun: models of machines nobody named."""
        models = tuple(dict.fromkeys(problem.model for problem in self._plan.problems))
        return SendingReport(
            progress=self._progress(State.FAILED),
            not_sent=(*self._held_back(), *(_not_tried(send) for send in self._plan.sends())),
            unknown_models=models,
            messages=("A plan names no treatment machine, nor do default_machines its model.",),
        )

    def ended(self, report: SendReport, *, unreadable: int) -> SendingReport:
        """Return the report of a job whose instances were sent, or some of them."""
        failed = (_failed(send, outcome) for send, outcome in report.failed)
        not_tried = (_not_tried(send) for send in report.not_sent)
        if self._listener.cancelled() and report.not_sent:
            state = State.CANCELLED
        else:
            state = State.COMPLETE if report.complete else State.PARTIAL
        return SendingReport(
            progress=self._progress(state),
            sent=tuple(self.sent.values()),
            not_sent=(*failed, *not_tried, *self._held_back()),
            stopped_by=None if report.stopped_by is None else report.stopped_by[0].uid,
            messages=tuple(self._messages(report, unreadable)),
        )

    def _messages(self, report: SendReport, unreadable: int) -> list[str]:
        messages = list(dict.fromkeys(notice.concern.value for notice in self._plan.notices))
        if report.error is not None:
            messages.append(report.error.sentence)
        if unreadable:
            messages.append("Some objects of the store cannot be read and were not sent.")
        return messages

    def _held_back(self) -> tuple[NotSent, ...]:
        return tuple(
            NotSent(
                sop_instance_uid=held.header.ref.sop_instance_uid,
                sop_class_uid=held.header.sop_class_uid,
                reason=held.reason.value,
                outcome="held_back",
            )
            for held in self._plan.held_back
        )

    def _progress(self, state: State, step: str = "") -> Progress:
        return Progress(
            state=state,
            step=step,
            expected=self._expected,
            landed=len(self.sent),
            bytes_moved=self._bytes,
            instances_moved=len(self.sent),
            requests=self._requests,
        )

    def _tell(self, *, step: str) -> None:
        self._listener.progress(self._progress(State.RUNNING, step))


def _restored(saved: bytes | None) -> dict[str, SentItem]:
    if saved is None:
        return {}
    try:
        return {item.sop_instance_uid: item for item in _SAVED.validate_json(saved)}
    except ValidationError:
        return {}  # of another version: sending again is safe


def _failed(send: Send, outcome: StoreOutcome) -> NotSent:
    return NotSent(
        sop_instance_uid=send.uid,
        sop_class_uid=send.header.sop_class_uid,
        role=send.role.value,
        reason=outcome.problem,
        outcome="failed",
        statuses=outcome.statuses,
        comment=outcome.comment,
    )


def _not_tried(send: Send) -> NotSent:
    return NotSent(
        sop_instance_uid=send.uid,
        sop_class_uid=send.header.sop_class_uid,
        role=send.role.value,
        reason="it was not tried",
        outcome="not_tried",
    )
