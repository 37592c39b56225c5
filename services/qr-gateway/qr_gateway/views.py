"""Retrieval jobs as callers see them, and the orders they give."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, Field

from dicomio.http import Input, decode_cursor, encode_cursor
from dicomio.jobs.record import Counts, Job
from qr_gateway.retrieval.model import (
    Dangling,
    Item,
    Missing,
    PlanReport,
    Progress,
    Report,
    RetrievalRequest,
    State,
)

T = TypeVar("T")
SHOWN_AT_ONCE = 1000
"""Missing and dangling references in one answer; all of the missing ones can be paged through."""


class RetrievalOrder(Input):
    """One patient, and which of the patient's plans, from one peer."""

    peer: str = Field(max_length=64)
    patient_id: str = Field(min_length=1, max_length=64, repr=False)
    plan_label: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        repr=False,
        description="RT Plan Label (300A,0002), exact; none: every plan",
    )
    only_approved: bool = Field(
        default=False, description="Only plans whose Approval Status (300E,0002) is APPROVED"
    )
    method: Literal["move", "get"] = "move"

    def request(self) -> RetrievalRequest:
        """Return what the executor is given."""
        return RetrievalRequest(
            patient_id=self.patient_id,
            plan_label=self.plan_label,
            only_approved=self.only_approved,
            method=self.method,
        )


class JobPath(Input):
    """Which retrieval."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")


class Listing(Input):
    """A page of a listing."""

    limit: int = Field(default=50, ge=1, le=500)
    cursor: str = Field(default="", max_length=1024, description="`next` of the page before")


class ItemListing(Listing):
    """A page of instances."""

    kind: Literal["closure", "probed"] = Field(
        default="closure", description="What belongs to the plans, or what was moved to decide"
    )


class Following(Input):
    """How long to listen."""

    follow: bool = Field(default=True, description="false: how it stands now, and the end")


class Offset(BaseModel):
    """Where a page of a report starts."""

    offset: int = Field(ge=0)


def part_of(every: tuple[T, ...], listing: Listing) -> tuple[tuple[T, ...], str | None]:
    """Return the part of a report that a page shows, and the cursor of the next one."""
    start = decode_cursor(listing.cursor, Offset).offset if listing.cursor else 0
    end = start + listing.limit
    return every[start:end], encode_cursor(Offset(offset=end)) if end < len(every) else None


class RetrievalView(BaseModel):
    """A retrieval: what was asked for, and how it stands."""

    id: str
    peer: str
    request: RetrievalRequest = Field(repr=False)
    state: State
    progress: Progress
    counts: Counts
    cancel_requested: bool
    attempts: int
    problem: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RetrievalDetail(RetrievalView):
    """A retrieval with its report, once it has ended."""

    missing: tuple[Missing, ...] = ()
    dangling: tuple[Dangling, ...] = ()
    plans: tuple[PlanReport, ...] = Field(default=(), repr=False)
    messages: tuple[str, ...] = ()
    catalogue_instances: int | None = None


class RetrievalPage(BaseModel):
    """Retrievals, newest first."""

    retrievals: tuple[RetrievalView, ...]
    next: str | None


class ItemPage(BaseModel):
    """Instances that have landed."""

    items: tuple[Item, ...]
    next: str | None


class MissingPage(BaseModel):
    """What was expected and has not landed, and why."""

    missing: tuple[Missing, ...]
    next: str | None


def view_of(job: Job[RetrievalRequest]) -> RetrievalView:
    """Return a job without what only workers need."""
    return RetrievalView(
        id=job.job_id,
        peer=job.peer,
        request=job.request,
        state=job.state,
        progress=job.progress,
        counts=job.counts,
        cancel_requested=job.cancel_requested,
        attempts=job.attempts,
        problem=job.problem,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
    )


def detail_of(job: Job[RetrievalRequest], report: Report | None) -> RetrievalDetail:
    """Return a job with its report."""
    known = dict(view_of(job))
    if report is None:
        return RetrievalDetail(**known)
    return RetrievalDetail(
        **known,
        missing=report.missing[:SHOWN_AT_ONCE],
        dangling=report.dangling[:SHOWN_AT_ONCE],
        plans=report.plans,
        messages=report.messages,
        catalogue_instances=report.catalogue_instances,
    )
