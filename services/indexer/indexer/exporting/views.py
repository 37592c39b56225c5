"""Exports as callers see them; nothing here tells whose data they are."""

from __future__ import annotations

from pydantic import BaseModel

from dicomcore.export import ManifestInstance
from dicomio.jobs.record import Job
from dicomio.jobs.views import JobView, shown_of
from indexer.exporting.model import (
    Destination,
    ExportReport,
    ExportRequest,
    Held,
    NotThere,
    PatientSelection,
    QuerySelection,
)


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


class ExportView(JobView):
    """An export, and how it stands; `peer` is empty unless it goes to one."""

    tenant: str
    asked: Asked


class ExportDetail(ExportView):
    """The same with the report, once it has ended."""

    prefix: str = ""
    instances: int = 0
    """Newest versions."""
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
    shown = shown_of(job)
    del shown["request"]
    return ExportView(**shown, tenant=job.request.tenant, asked=_asked(job.request))


def detail_of(job: Job[ExportRequest], report: ExportReport | None) -> ExportDetail:
    """Return a job with its report."""
    known = dict(view_of(job))
    if report is None:
        return ExportDetail(**known)
    return ExportDetail(
        **known,
        prefix=report.prefix,
        instances=report.instances,
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
