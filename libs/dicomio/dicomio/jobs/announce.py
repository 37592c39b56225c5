"""The events of a job: that it waits for a worker, and how it ended."""

from __future__ import annotations

from datetime import datetime

from dicomcore.events import encode
from dicomcore.ports import EventBus
from dicomio.jobs.kind import JobKind, Q, R
from dicomio.jobs.record import Job
from dicomio.tracing import current_traceparent

_ROUND_S = 600


async def request_work(
    bus: EventBus, kind: JobKind[Q, R], job: Job[Q], *, now: datetime | None = None
) -> None:
    """Put a job into the queue; more than once is no harm.

    Parameters
    ----------
    now
        None: because it was submitted. Else because nobody works on it: then at most once in ten
        minutes, whichever replica notices.

    Raises
    ------
    BusUnavailable
    """
    event_id = f"{job.job_id}-requested"
    if now is not None:
        event_id += f"-{int(now.timestamp()) // _ROUND_S}"
    body = encode(
        kind.requested(job_id=job.job_id),
        event_id=event_id,
        source=kind.service,
        time=now or job.created_at,
        traceparent=current_traceparent(),
    )
    await bus.publish(kind.requested.TYPE, body, message_id=event_id)


async def announce_end(bus: EventBus, kind: JobKind[Q, R], job: Job[Q]) -> None:
    """Publish how a job ended; the same end always under the same message ID.

    Raises
    ------
    BusUnavailable
    """
    event = kind.end_of(job)
    event_id = f"{job.job_id}-ended"
    body = encode(
        event, event_id=event_id, source=kind.service, time=job.ended_at or job.updated_at
    )
    await bus.publish(event.TYPE, body, message_id=event_id)
