"""What every kind of job shows to callers, and how its lists are paged through."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from dicomio.http import Input, decode_cursor, encode_cursor
from dicomio.jobs.record import Counts, Job
from dicomio.jobs.states import Progress, State

T = TypeVar("T")
SHOWN_AT_ONCE = 1000
"""Parts of a report in one answer; all of them can be paged through."""


class JobPath(Input):
    """Which job."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")


class Listing(Input):
    """A page of a listing."""

    limit: int = Field(default=50, ge=1, le=500)
    cursor: str = Field(default="", max_length=1024, description="`next` of the page before")


class Following(Input):
    """How long to listen."""

    follow: bool = Field(default=True, description="false: how it stands now, and the end")


class _Offset(BaseModel):
    """Where a page of a report starts."""

    offset: int = Field(ge=0)


def part_of(every: tuple[T, ...], listing: Listing) -> tuple[tuple[T, ...], str | None]:
    """Return the part of a report that a page shows, and the cursor of the next one."""
    start = decode_cursor(listing.cursor, _Offset).offset if listing.cursor else 0
    end = start + listing.limit
    return every[start:end], encode_cursor(_Offset(offset=end)) if end < len(every) else None


class JobView(BaseModel):
    """How a job stands; each kind adds what was asked for."""

    id: str
    peer: str
    state: State
    progress: Progress
    counts: Counts
    cancel_requested: bool
    attempts: int
    problem: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


def shown_of(job: Job[Any]) -> dict[str, Any]:
    """Return the fields of a `JobView`, and `request`; what only workers need stays away."""
    return {
        "id": job.job_id,
        "peer": job.peer,
        "request": job.request,
        "state": job.state,
        "progress": job.progress,
        "counts": job.counts,
        "cancel_requested": job.cancel_requested,
        "attempts": job.attempts,
        "problem": job.problem,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
    }
