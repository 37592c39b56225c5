"""What tells one kind of job from another; everything else about jobs is the same for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from dicomcore.audit import Activity
from dicomcore.events import EventData, JobRequested
from dicomio.jobs.record import Counts, Job
from dicomio.jobs.states import JobReport

Q = TypeVar("Q", bound=BaseModel)
"""What a job of the kind is asked for."""
R = TypeVar("R", bound=JobReport)
"""How a job of the kind ends."""


@dataclass(frozen=True, slots=True)
class JobKind(Generic[Q, R]):
    """One kind of job."""

    name: str
    """In one word, for metrics, logs and errors."""
    job: type[Job[Q]]
    report: type[R]
    requested: type[JobRequested]
    """The event that puts a job into the queue; its type is the queue's subject."""
    end_of: Callable[[Job[Q]], EventData]
    """The event that tells how a job ended."""
    counts: Callable[[R], Counts]
    durable: str
    """Name of the consumer that the workers share."""
    prefix: str = ""
    """Of every key in the key-value store, where kinds share one."""
    service: str = "qr-gateway"
    """Whose jobs they are, for events and the audit trail."""
    activity: Activity = Activity.TRANSFERRED
    """What the audit trail calls it when one has ended."""
