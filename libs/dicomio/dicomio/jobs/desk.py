"""What HTTP asks of jobs of one kind: submit, page through, follow, read how one ended."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Generic

from pydantic import BaseModel, Field

from dicomcore.errors import InvalidRequest
from dicomcore.ports import EventBus
from dicomio.http import ServerEvent, decode_cursor, encode_cursor
from dicomio.jobs.announce import request_work
from dicomio.jobs.kind import Q, R
from dicomio.jobs.ledger import Ledger
from dicomio.jobs.record import Job

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REPORTS_KEPT = 8
_WAIT_S = 30.0


class _After(BaseModel):
    """Where a page of jobs starts."""

    job_id: str = Field(pattern=r"^[0-9a-f]{32}$")


class JobDesk(Generic[Q, R]):
    """Over the ledger; the work itself is a worker's, on this replica or another."""

    def __init__(self, ledger: Ledger[Q, R], bus: EventBus) -> None:
        self.ledger = ledger
        self._bus = bus
        # who pages through a report asks for it again and again; it never changes
        self._reports: dict[tuple[str, str], R] = {}

    async def submit(self, peer: str, request: Q, *, key: str, scope: str = "") -> Job[Q]:
        """Write a job, then put it into the queue.

        Parameters
        ----------
        key
            Idempotency-Key of the caller; empty if there was none.
        scope
            Whose keys it is among: the same key in another scope is another key.

        Raises
        ------
        InvalidRequest
            The key is none, or was used for another request.
        BusUnavailable, KeyValueUnavailable
        """
        if key and _KEY.fullmatch(key) is None:
            raise InvalidRequest("Idempotency-Key: 1 to 255 visible ASCII characters")
        known_as = f"{scope}\n{key}" if key and scope else key
        job = await self.ledger.submit(peer, request, key=known_as)
        if not job.state.final:
            # also for a key seen before: its first request may have ended between the two
            await request_work(self._bus, self.ledger.kind, job)
        return job

    async def page(
        self, *, cursor: str, limit: int, keep: Callable[[Job[Q]], bool] = lambda _: True
    ) -> tuple[Sequence[Job[Q]], str | None]:
        """Return a page of the jobs to keep, newest first, and the cursor of the next one."""
        before = decode_cursor(cursor, _After).job_id if cursor else ""
        jobs = await self.ledger.page(before=before, limit=limit, keep=keep)
        more = len(jobs) == limit
        return jobs, encode_cursor(_After(job_id=jobs[-1].job_id)) if more else None

    async def changes(
        self, job_id: str, view_of: Callable[[Job[Q]], BaseModel]
    ) -> AsyncGenerator[ServerEvent, None]:
        """Yield how a job stands whenever that changes for callers, `end` at last."""
        snapshot = await self.ledger.get(job_id)
        shown: BaseModel | None = None
        while True:
            job = snapshot.job
            view = view_of(job)
            if view != shown:  # not every change of the record is one for callers
                shown = view
                name = "end" if job.state.final else "progress"
                yield ServerEvent(view, event=name, id=str(snapshot.revision))
            if job.state.final:
                return
            seen = await self.ledger.changed(job_id, since=snapshot.revision, timeout_s=_WAIT_S)
            snapshot = seen or snapshot

    async def report(self, job: Job[Q]) -> R | None:
        """Return how a job ended; None before that, and without a report."""
        if job.report is None:
            return None
        key = (job.job_id, job.report.digest)
        known = self._reports.get(key)
        if known is None:
            known = await self.ledger.report(job)
            if known is None:
                return None
            while len(self._reports) >= _REPORTS_KEPT:
                self._reports.pop(next(iter(self._reports)), None)
            self._reports[key] = known
        return known
