"""The record of one job, small enough for one compare-and-set."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from dicomcore.errors import NotFound
from dicomio.jobs.states import Progress, State

Q = TypeVar("Q", bound=BaseModel)
_JOB_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class _Record(BaseModel):
    # a newer replica may have written members that this one does not know
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ChunkRef(_Record):
    """Where a value too large for one key is: content-addressed chunks."""

    digest: str
    """The first 32 hexadecimal digits of the SHA-256 of the compressed bytes."""
    chunks: int


class Lease(_Record):
    """Who works on a job, and until when nobody else may."""

    owner: str
    """The replica, for people who read the ledger."""
    token: str
    """One claim: a second delivery to the same replica is another claim."""
    expires_at: datetime


class Counts(_Record):
    """How many of each a report holds, so that a listing need not read reports."""

    items: int = 0
    missing: int = 0
    dangling: int = 0
    probed: int = 0


class Job(_Record, Generic[Q]):
    """A job, from its request to its end."""

    job_id: str
    peer: str
    request: Q = Field(repr=False)
    progress: Progress = Progress()
    """Its `state` is the job's."""
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    """How often a worker has claimed it."""
    failures: int = 0
    """How many of these ended because something was unavailable."""
    cancel_requested: bool = False
    problem: str = ""
    """Why it failed, or why it waits for another attempt."""
    counts: Counts = Counts()
    lease: Lease | None = None
    saved: ChunkRef | None = None
    """What the executor resumes from."""
    report: ChunkRef | None = None
    """Set when it ended with a report."""
    idempotency: str = ""
    """SHA-256 of the Idempotency-Key, hexadecimal."""
    announced: bool = False
    """Whether its end has been published."""

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.progress.state

    def leased(self, now: datetime) -> bool:
        """Whether somebody works on it, as far as is known."""
        return self.lease is not None and self.lease.expires_at > now


def new_job_id(now: datetime) -> str:
    """Return 32 hexadecimal digits that sort by time: milliseconds, then chance."""
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(10)}"


def first_job_id(moment: datetime) -> str:
    """Return an ID below that of every job that was made at `moment` or later."""
    return f"{int(moment.timestamp() * 1000):012x}{'0' * 20}"


def parse_job_id(text: str) -> str:
    """Return `text` if it can be the ID of a job.

    Raises
    ------
    NotFound
        No job can have it.
    """
    if _JOB_ID.fullmatch(text) is None:
        raise NotFound("no such job")
    return text
