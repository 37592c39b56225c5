"""Retrievals as a kind of job."""

from __future__ import annotations

from typing import Literal, cast

from dicomcore.events import EventData, RetrievalCompleted, RetrievalEnded, RetrievalRequested
from dicomio.jobs.kind import JobKind
from dicomio.jobs.record import Counts, Job
from qr_gateway.retrieval.model import Report, RetrievalRequest, State


def _end_of(job: Job[RetrievalRequest]) -> EventData:
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


def _counts(report: Report) -> Counts:
    return Counts(
        items=len(report.items),
        missing=len(report.missing),
        dangling=len(report.dangling),
        probed=len(report.probed),
    )


RETRIEVAL = JobKind(
    name="retrieval",
    job=Job[RetrievalRequest],
    report=Report,
    requested=RetrievalRequested,
    end_of=_end_of,
    counts=_counts,
    durable="qr-gateway-retrievals",
)
