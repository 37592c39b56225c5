"""Jobs that send, as callers see them, and the orders they give."""

from __future__ import annotations

from pydantic import BaseModel, Field

from dicomio.http import Input
from dicomio.jobs.record import Job
from dicomio.jobs.views import SHOWN_AT_ONCE, JobView, shown_of
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


class SendView(JobView):
    """What was asked for, and how it stands."""

    request: SendRequest


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
    return SendView.model_validate(shown_of(job))


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
