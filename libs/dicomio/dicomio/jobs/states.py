"""Where a job stands, and what is told of it while it runs; JSON in the API and the ledger."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class State(StrEnum):
    """Where a job stands; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (State.QUEUED, State.RUNNING)


class Frozen(BaseModel):
    """A value that is written and read by this version: unknown members are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Progress(Frozen):
    """How a job stands now."""

    state: State = State.QUEUED
    step: str = ""
    """What it is doing, in words: `plans`, `structure sets`, `images` …"""
    expected: int = 0
    """Instances expected so far; of a retrieval, it grows while references are read."""
    landed: int = 0
    """Of these, the ones that are where they should be."""
    bytes_moved: int = 0
    """Of a retrieval, of instances that landed in it: the closure and what had to be probed."""
    instances_moved: int = 0
    requests: int = 0
    """C-MOVE, C-GET or C-STORE requests sent."""


class JobReport(Frozen):
    """How a job ended; each kind of job adds what it has to tell."""

    progress: Progress
