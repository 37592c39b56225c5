"""The rebuild as a background task with a state: at most one at a time in this process."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import StrEnum

import structlog
from pydantic import BaseModel, ConfigDict

from dicomcore.errors import DicomToolsError
from dicomcore.ports import IndexDb, ObjectStore
from indexer.reindex import Reindexed, reindex

log = structlog.get_logger(__name__)


class RebuildState(StrEnum):
    """Where a rebuild stands."""

    NEVER = "never"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class RebuildReport(BaseModel):
    """How the last rebuild of this process went, or how the present one goes."""

    model_config = ConfigDict(frozen=True)
    state: RebuildState = RebuildState.NEVER
    cleared: bool = False
    """Whether it began with an empty index."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    objects_listed: int = 0
    objects_indexed: int = 0
    objects_unreadable: int = 0
    """Indexed without a header."""
    objects_skipped: int = 0
    """No instances by their key, or refused by the index."""
    problem: str = ""
    """Why it failed; what was indexed until then stays."""


class Rebuild:
    """Runs rebuilds one after another; `run` is the task that does the work."""

    def __init__(self, store: ObjectStore, index: IndexDb) -> None:
        self._store = store
        self._index = index
        self._requested = asyncio.Event()
        self._report = RebuildReport()

    @property
    def report(self) -> RebuildReport:
        """How it stands."""
        return self._report

    def request(self, *, clear: bool) -> bool:
        """Start a rebuild and return True; False, and nothing changes, while one is running."""
        if self._report.state is RebuildState.RUNNING:
            return False
        self._report = RebuildReport(
            state=RebuildState.RUNNING, cleared=clear, started_at=datetime.now(UTC)
        )
        self._requested.set()
        return True

    async def run(self) -> None:
        """Do what is requested, until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            try:
                await reindex(
                    self._store,
                    self._index,
                    clear=self._report.cleared,
                    progress=self._progress,
                )
            except DicomToolsError as exc:
                log.warning("reindex_failed", problem=exc.sentence)
                self._end(RebuildState.FAILED, exc.sentence)
            except Exception:  # an edge: the consumer beside it goes on
                log.exception("reindex_failed")
                self._end(RebuildState.FAILED, "unexpected error; see the log")
            else:
                self._end(RebuildState.COMPLETE)

    def _progress(self, done: Reindexed) -> None:
        self._report = self._report.model_copy(
            update={
                "objects_listed": done.listed,
                "objects_indexed": done.indexed,
                "objects_unreadable": done.unreadable,
                "objects_skipped": done.skipped,
            }
        )

    def _end(self, state: RebuildState, problem: str = "") -> None:
        self._report = self._report.model_copy(
            update={"state": state, "problem": problem, "ended_at": datetime.now(UTC)}
        )
        log.info(
            "reindex_ended",
            state=state.value,
            objects_indexed=self._report.objects_indexed,
            objects_unreadable=self._report.objects_unreadable,
            objects_skipped=self._report.objects_skipped,
        )
