"""Exports as callers see them; nothing here tells whose data they are."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from dicomcore.export import ManifestInstance
from dicomio.http import Input
from dicomio.jobs.record import Job
from dicomio.jobs.states import Progress, State
from indexer.exporting.model import (
    Destination,
    ExportReport,
    ExportRequest,
    Held,
    NotThere,
    PatientSelection,
    QuerySelection,
)


class ExportPath(Input):
    """Which export."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")


class Listing(Input):
    """A page of a listing."""

    limit: int = Field(default=50, ge=1, le=500)
    cursor: str = Field(default="", max_length=1024, description="`next` of the page before")


class Following(Input):
    """How long to listen."""

    follow: bool = Field(default=True, description="false: how it stands now, and the end")


class Offset(BaseModel):
    """Where a page of a manifest starts."""

    offset: int = Field(ge=0)


class Asked(BaseModel):
    """What was asked for, without what identifies anybody."""

    selection: str
    """plans, patient, query or instances."""
    number: int
    """How many plans or instances were named, or terms of a search; 1 for a patient."""
    anonymised: bool
    profile: str = ""
    options: tuple[str, ...] = ()
    destination: Destination


class ExportView(BaseModel):
    """An export, and how it stands."""

    id: str
    tenant: str
    asked: Asked
    state: State
    progress: Progress
    instances: int
    missing: int
    """What should be in it and is not, and what was held back."""
    cancel_requested: bool
    attempts: int
    problem: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class ExportDetail(ExportView):
    """The same with the report, once it has ended."""

    prefix: str = ""
    files: int = 0
    size_bytes: int = 0
    not_there: tuple[NotThere, ...] = ()
    quarantined: tuple[Held, ...] = ()
    pseudonym_map: str = ""
    messages: tuple[str, ...] = ()


class ExportPage(BaseModel):
    """Exports, newest first."""

    exports: tuple[ExportView, ...]
    next: str | None


class ExportItem(BaseModel):
    """One file."""

    file: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str
    series_instance_uid: str
    study_instance_uid: str
    sha256: str
    size_bytes: int
    newest: bool
    url: str | None
    """From which anyone may fetch it, for a time; null where the object store has no such."""


class ExportItemPage(BaseModel):
    """Files of an export, by name."""

    items: tuple[ExportItem, ...]
    next: str | None


def view_of(job: Job[ExportRequest]) -> ExportView:
    """Return a job without what only workers need, and without whose data it is about."""
    return ExportView(
        id=job.job_id,
        tenant=job.request.tenant,
        asked=_asked(job.request),
        state=job.state,
        progress=job.progress,
        instances=job.counts.items,
        missing=job.counts.missing,
        cancel_requested=job.cancel_requested,
        attempts=job.attempts,
        problem=job.problem,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
    )


def detail_of(job: Job[ExportRequest], report: ExportReport | None) -> ExportDetail:
    """Return a job with its report."""
    known = dict(view_of(job))
    if report is None:
        return ExportDetail(**known)
    return ExportDetail(
        **known,
        prefix=report.prefix,
        files=report.files,
        size_bytes=report.size_bytes,
        not_there=report.missing,
        quarantined=report.quarantined,
        pseudonym_map=report.pseudonym_map,
        messages=report.messages,
    )


def item_of(entry: ManifestInstance, url: str | None) -> ExportItem:
    """Return a file of a manifest."""
    return ExportItem(**entry.model_dump(exclude={"why"}), url=url)


def _asked(request: ExportRequest) -> Asked:
    selection, how = request.selection, request.anonymise
    if isinstance(selection, PatientSelection):
        number = 1
    elif isinstance(selection, QuerySelection):
        number = len(selection.query.tag)
    else:
        number = len(next(iter(selection.model_dump().values())))
    return Asked(
        selection=next(iter(type(selection).model_fields)),
        number=number,
        anonymised=how is not None,
        profile="" if how is None else how.profile,
        options=() if how is None else tuple(how.options),
        destination=request.destination,
    )
