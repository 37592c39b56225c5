"""Jobs that send, as callers see them, and the orders they give."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from dicomio.http import Input
from dicomio.jobs.record import Counts, Job
from dicomio.jobs.states import Progress, State
from qr_gateway.sending.model import (
    MAX_INSTANCES,
    MAX_STUDIES,
    MachineName,
    Name,
    NotSent,
    SendingReport,
    SendRequest,
    SentItem,
    Uid,
)

SHOWN_AT_ONCE = 1000
"""Instances that were not sent in one answer; all of them can be paged through."""


class SendOrder(Input):
    """Studies of the object store, and the peer that they are sent to."""

    peer: str = Field(max_length=64)
    study_instance_uids: tuple[Uid, ...] = Field(min_length=1, max_length=MAX_STUDIES)
    sop_instance_uids: tuple[Uid, ...] = Field(
        default=(), max_length=MAX_INSTANCES, description="Only these instances; none: all"
    )
    machine_mapping: dict[Name, MachineName] = Field(
        default_factory=dict,
        max_length=100,
        description="Treatment Machine Name (300A,00B2), as it is, to the one the peer knows",
    )
    default_machines: dict[Name, MachineName] = Field(
        default_factory=dict,
        max_length=100,
        description=(
            "Manufacturer's Model Name (0008,1090) of the first beam to a machine's name, for "
            "plans that name none; `*` is any other model"
        ),
    )
    allow_any_manufacturer: bool = Field(
        default=False,
        description=(
            "Also what ARIA refuses: plans for other treatment units than Varian's, doses without "
            "a plan"
        ),
    )

    def request(self) -> SendRequest:
        """Return what the executor is given."""
        return SendRequest(
            study_instance_uids=self.study_instance_uids,
            sop_instance_uids=self.sop_instance_uids,
            machine_mapping=self.machine_mapping,
            default_machines=self.default_machines,
            allow_any_manufacturer=self.allow_any_manufacturer,
        )


class SendView(BaseModel):
    """What was asked for, and how it stands."""

    id: str
    peer: str
    request: SendRequest
    state: State
    progress: Progress
    counts: Counts
    cancel_requested: bool
    attempts: int
    problem: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class SendDetail(SendView):
    """The same with the report, once it has ended."""

    not_sent: tuple[NotSent, ...] = ()
    stopped_by: str | None = None
    unknown_models: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


class SendPage(BaseModel):
    """Jobs that send, newest first."""

    sends: tuple[SendView, ...]
    next: str | None


class SentPage(BaseModel):
    """What the peer has acknowledged."""

    items: tuple[SentItem, ...]
    next: str | None


class NotSentPage(BaseModel):
    """What the peer does not have from us, and why."""

    items: tuple[NotSent, ...]
    next: str | None


def send_view_of(job: Job[SendRequest]) -> SendView:
    """Return a job without what only workers need."""
    return SendView(
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


def send_detail_of(job: Job[SendRequest], report: SendingReport | None) -> SendDetail:
    """Return a job with its report."""
    known = dict(send_view_of(job))
    if report is None:
        return SendDetail(**known)
    return SendDetail(
        **known,
        not_sent=report.not_sent[:SHOWN_AT_ONCE],
        stopped_by=report.stopped_by,
        unknown_models=report.unknown_models,
        messages=report.messages,
    )
