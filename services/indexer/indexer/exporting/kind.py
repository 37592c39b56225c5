"""Exporting as a kind of job."""

from __future__ import annotations

from typing import Literal, cast

from dicomcore.audit import Activity
from dicomcore.events import EventData, ExportCompleted, ExportFailed, ExportRequested
from dicomio.jobs.kind import JobKind
from dicomio.jobs.record import Counts, Job
from dicomio.jobs.states import State
from indexer.exporting.model import ExportReport, ExportRequest

SERVICE = "indexer"


def _end_of(job: Job[ExportRequest]) -> EventData:
    if job.state in (State.COMPLETE, State.PARTIAL):
        return ExportCompleted(
            job_id=job.job_id,
            tenant=job.request.tenant,
            state=cast(Literal["complete", "partial"], job.state.value),
            instances=job.counts.items,
            missing=job.counts.missing,
            bytes_moved=job.progress.bytes_moved,
        )
    return ExportFailed(
        job_id=job.job_id,
        tenant=job.request.tenant,
        state=cast(Literal["failed", "cancelled"], job.state.value),
    )


def _counts(report: ExportReport) -> Counts:
    return Counts(items=report.instances, missing=report.not_there + report.held_back)


EXPORT = JobKind(
    name="export",
    job=Job[ExportRequest],
    report=ExportReport,
    requested=ExportRequested,
    end_of=_end_of,
    counts=_counts,
    durable="indexer-exports",
    prefix="export-",
    service=SERVICE,
    activity=Activity.EXPORT,
)
