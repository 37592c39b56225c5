"""How a job ended, for the audit trail: its request over HTTP was told with who gave it."""

from __future__ import annotations

from dicomcore.audit import Act, Actor, Outcome
from dicomio.jobs.kind import JobKind, Q, R
from dicomio.jobs.record import Job
from dicomio.jobs.states import State


def no_audit(_act: Act) -> None:
    """Record nothing."""


def act_of_end(kind: JobKind[Q, R], job: Job[Q]) -> Act:
    """Return what is audited: instances went from one system to another, or did not."""
    patient_id = getattr(job.request, "patient_id", "")
    if job.state is State.COMPLETE:
        outcome = Outcome.SUCCESS
    elif job.state is State.CANCELLED:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.FAILED
    return Act(
        activity=kind.activity,
        operation=kind.name,
        action="E",
        outcome=outcome,
        actors=(
            Actor("urn:dicomtools:service", kind.service),
            *([Actor("urn:dicomtools:peer", job.peer, requestor=False)] if job.peer else []),
        ),
        reason=job.state.value,
        patient_ids=(patient_id,) if isinstance(patient_id, str) and patient_id else (),
        # the same ID is in the event of the request, whose caller gave the order
        objects=(("id", job.job_id),),
        counts=(("instances", job.counts.items), ("missing", job.counts.missing)),
    )
