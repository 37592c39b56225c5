"""The audit trail: acts from any thread to a stream of their own, and never in anyone's way.

What cannot be published goes to the log as one line and is counted. Recording returns at once:
clinical work waits for no audit, and an audit that is away stops nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry, Counter

from dicomcore.audit import (
    SHORTEST_KEY,
    Act,
    Activity,
    Actor,
    AuditEvent,
    Outcome,
    audit_event,
    pseudonym,
)
from dicomcore.errors import DicomToolsError, InvalidRequest
from dicomcore.events import encode
from dicomcore.ports import EventBus, EventHistory
from dicomio.http import Audited, Role
from dicomio.tasks import end

log = structlog.get_logger(__name__)

_WORKERS = 8
_TOKENS = "urn:dicomtools:token"

_ACTIVITIES: Mapping[Role, Activity] = MappingProxyType(
    {
        Role.READER: Activity.QUERY,
        Role.RETRIEVER: Activity.TRANSFER_BEGUN,
        Role.EXPORTER: Activity.EXPORT,
    }
)
_ACTIONS: Mapping[str, Literal["C", "R", "U", "D", "E"]] = MappingProxyType(
    {"GET": "R", "HEAD": "R", "PUT": "U", "PATCH": "U", "DELETE": "D"}
)


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Whether there is an audit trail, and by what patients are named in it."""

    enabled: bool = True
    key: bytes | None = field(default=None, repr=False)
    """At least 32 bytes, the same in every service; None: patients are left out."""
    retention_s: float = 6 * 365 * 86400.0
    """How long the stream keeps events; 0: for ever."""
    waiting: int = 10_000
    """Acts that may wait to be published; one more goes to the log."""
    close_s: float = 5.0
    """So long the end of the service waits for what is still to be published."""

    def __post_init__(self) -> None:
        if self.key is not None and len(self.key) < SHORTEST_KEY:
            raise InvalidRequest("the key of pseudonyms is too short", least_bytes=SHORTEST_KEY)


class AuditTrail:
    """Takes acts, and publishes them; made on the event loop that the bus lives on.

    Parameters
    ----------
    observer
        Names this service in the events.
    history
        Where events can be read again; None: nowhere.
    """

    def __init__(
        self,
        bus: EventBus,
        *,
        observer: str,
        options: AuditOptions,
        registry: CollectorRegistry,
        history: EventHistory | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.history = history
        self._bus = bus
        self._observer = observer
        self._options = options
        self._key = options.key
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Recorded] = asyncio.Queue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._closed = False
        self._counter = Counter(
            "audit_events",
            "Audit events, by where they are kept: published, or in the log only",
            ("kept",),
            registry=registry,
        )
        for kept in ("published", "log"):
            self._counter.labels(kept)
        self._workers = [asyncio.create_task(self._publish_all()) for _ in range(_WORKERS)]
        if options.key is None:
            log.warning("audit_has_no_key", consequence="audit events name no patients")

    def record(self, act: Act) -> None:
        """Take an act, from any thread; returns at once and raises nothing."""
        recorded = _Recorded(uuid4().hex, act, self._clock())
        with self._lock:
            taken = not self._closed and self._waiting < self._options.waiting
            self._waiting += taken
        if not taken:
            self._to_log(recorded, "too many are waiting")
            return
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, recorded)
        except RuntimeError:  # the loop has stopped
            self._to_log(recorded, "the event loop has stopped")

    def http(self, audited: Audited) -> None:
        """Take a request over HTTP: what `dicomio.http.make_app` is given."""
        self.record(act_of(audited))

    async def close(self) -> None:
        """Publish what waits, for a few seconds; the rest goes to the log. Before the bus is closed."""
        with self._lock:
            self._closed = True
        try:
            async with asyncio.timeout(self._options.close_s):
                await asyncio.sleep(0)  # what other threads have handed over is in the queue
                await self._queue.join()
        except TimeoutError:
            pass
        await end(*self._workers)
        while not self._queue.empty():
            self._to_log(self._queue.get_nowait(), "the service stops")

    async def _publish_all(self) -> None:
        while True:
            recorded = await self._queue.get()
            try:
                await self._publish(recorded)
            finally:
                self._queue.task_done()
                with self._lock:
                    self._waiting -= 1

    async def _publish(self, recorded: _Recorded) -> None:
        try:
            event = audit_event(
                recorded.act, recorded=recorded.at, observer=self._observer, key=self._key
            )
            body = encode(
                event, event_id=recorded.event_id, source=self._observer, time=recorded.at
            )
            await self._bus.publish(AuditEvent.TYPE, body, message_id=recorded.event_id)
        except DicomToolsError as exc:
            self._to_log(recorded, exc.sentence)
        except asyncio.CancelledError:
            self._to_log(recorded, "the service stops")
            raise
        except Exception:  # the edge: whatever it is, the act is not lost, and nobody waits
            log.exception("audit_event_failed")
            self._to_log(recorded, "internal error")
        else:
            self._counter.labels("published").inc()

    def _to_log(self, recorded: _Recorded, reason: str) -> None:
        act = recorded.act
        self._counter.labels("log").inc()
        log.warning(
            "audit_event_kept_in_log",
            reason=reason,
            audit_id=recorded.event_id,
            recorded=recorded.at.isoformat(),
            activity=act.activity.value[1],
            operation_id=act.operation,
            action=act.action,
            outcome=act.outcome.value,
            outcome_reason=act.reason,
            agents=[f"{one.system}|{one.name}|{one.address}" for one in act.actors],
            subject_keys=[]
            if self._key is None
            else [pseudonym(self._key, each) for each in act.patient_ids],
            objects=[f"{kind}={value}" for kind, value in act.objects],
            counts=dict(act.counts),
        )


@dataclass(frozen=True, slots=True)
class _Recorded:
    event_id: str
    act: Act
    at: datetime


def act_of(audited: Audited) -> Act:
    """Return what a request over HTTP was."""
    refused = audited.status in (401, 403)
    if audited.status == 401:
        activity = Activity.AUTHENTICATION
    elif refused:
        activity = Activity.SECURITY_ALERT
    else:
        activity = _ACTIVITIES.get(audited.needed or Role.ADMIN, Activity.APPLICATION)
    failed = Outcome.FAILED if audited.status >= 500 else Outcome.REFUSED
    return Act(
        activity=activity,
        operation=audited.operation_id or "unknown",
        action=_ACTIONS.get(audited.method, "E"),
        outcome=Outcome.SUCCESS if audited.status < 400 else failed,
        reason=f"HTTP status {audited.status}",
        actors=(
            Actor(
                system=audited.issuer or _TOKENS,
                name=audited.caller or "unknown",
                address=audited.remote,
                roles=tuple(sorted(audited.roles)),
            ),
        ),
        patient_ids=tuple(audited.notes.patient_ids),
        objects=(*audited.notes.objects, ("request_id", audited.request_id)),
        counts=(("patients_not_named", audited.notes.unnamed),) if audited.notes.unnamed else (),
    )
