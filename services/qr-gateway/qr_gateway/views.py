"""Retrieval jobs as callers see them, and the orders they give."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from dicomio.http import Input
from dicomio.jobs.record import Job
from dicomio.jobs.views import SHOWN_AT_ONCE, JobView, Listing, shown_of
from qr_gateway.retrieval.model import (
    Dangling,
    Item,
    Missing,
    PlanReport,
    Report,
    RetrievalRequest,
)


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


class ItemListing(Listing):
    """A page of instances."""

    kind: Literal["closure", "probed"] = Field(
        default="closure", description="What belongs to the plans, or what was moved to decide"
    )


class RetrievalView(JobView):
    """A retrieval: what was asked for, and how it stands."""

    request: RetrievalRequest = Field(repr=False)


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
    return RetrievalView.model_validate(shown_of(job))


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
