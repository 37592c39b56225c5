"""Sending as a kind of job."""

from __future__ import annotations

from typing import Literal, cast

from dicomcore.events import EventData, SendCompleted, SendEnded, SendRequested
from dicomio.jobs.kind import JobKind
from dicomio.jobs.record import Counts, Job
from dicomio.jobs.states import State
from qr_gateway.sending.model import SendingReport, SendRequest


def _end_of(job: Job[SendRequest]) -> EventData:
    if job.state is State.COMPLETE:
        return SendCompleted(
            job_id=job.job_id,
            instances=job.counts.items,
            bytes_moved=job.progress.bytes_moved,
        )
    return SendEnded(
        job_id=job.job_id,
        state=cast(Literal["partial", "failed", "cancelled"], job.state.value),
        instances=job.counts.items,
        missing=job.counts.missing,
    )


def _counts(report: SendingReport) -> Counts:
    missing = sum(one.outcome != "held_back" for one in report.not_sent)
    return Counts(items=len(report.sent), missing=missing)


SEND = JobKind(
    name="send",
    job=Job[SendRequest],
    report=SendingReport,
    requested=SendRequested,
    end_of=_end_of,
    counts=_counts,
    durable="qr-gateway-sends",
    prefix="send-",
)
