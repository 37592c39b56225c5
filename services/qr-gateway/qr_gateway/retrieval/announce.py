"""The events of a retrieval: that it waits for a worker, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, cast

from dicomcore.events import (
    EventData,
    RetrievalCompleted,
    RetrievalEnded,
    RetrievalRequested,
    encode,
)
from dicomcore.ports import EventBus
from qr_gateway.retrieval.jobs import Job
from qr_gateway.retrieval.model import State

SOURCE = "qr-gateway"
_ROUND_S = 600


async def request_work(bus: EventBus, job: Job, *, now: datetime | None = None) -> None:
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
        RetrievalRequested(job_id=job.job_id),
        event_id=event_id,
        source=SOURCE,
        time=now or job.created_at,
    )
    await bus.publish(RetrievalRequested.TYPE, body, message_id=event_id)


async def announce_end(bus: EventBus, job: Job) -> None:
    """Publish how a job ended; the same end always under the same message ID.

    Raises
    ------
    BusUnavailable
    """
    event = _end_of(job)
    event_id = f"{job.job_id}-ended"
    body = encode(event, event_id=event_id, source=SOURCE, time=job.ended_at or job.updated_at)
    await bus.publish(event.TYPE, body, message_id=event_id)


def _end_of(job: Job) -> EventData:
    if job.state is State.COMPLETE:
        return RetrievalCompleted(
            job_id=job.job_id,
            instances=job.counts.items,
            bytes_moved=job.progress.bytes_moved,
        )
    return RetrievalEnded(
        job_id=job.job_id,
        state=cast(Literal["partial", "failed", "cancelled"], job.state.value),
        instances=job.counts.items,
        missing=job.counts.missing,
    )
