"""Claims: what a worker does with a job, under a lease that nobody else has.

Every change is fenced by the token of the lease, so that a worker that was taken for dead and was
only slow cannot write over its successor. Leases end by the clock; clocks that differ cost double
work for a moment and nothing else, for what lands twice is one object.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic

from dicomcore.errors import Conflict
from dicomio.jobs.chunks import delete_chunks, delete_value, read_chunks, write_chunks
from dicomio.jobs.kind import Q, R
from dicomio.jobs.record import ChunkRef, Job, Lease, parse_job_id
from dicomio.jobs.records import Records, Snapshot
from dicomio.jobs.states import Progress, State


class LeaseLost(Conflict):
    """Another worker has the job, or it has ended: stop, and write nothing more."""


class Claims(Generic[Q, R]):
    """Jobs as workers see them. Every method may raise `KeyValueUnavailable`.

    `held` is a job as `claim` returned it.
    """

    def __init__(self, records: Records[Q, R]) -> None:
        self._records = records

    async def claim(self, job_id: str, *, owner: str, ttl_s: float) -> Job[Q]:
        """Take a job; the job returned holds the lease.

        Raises
        ------
        NotFound
            No such job.
        LeaseLost
            Somebody works on it, or it has ended: look again.
        """
        now = self._records.now()
        lease = Lease(owner=owner, token=secrets.token_hex(16), expires_at=_after(now, ttl_s))

        def claimed(job: Job[Q]) -> Job[Q]:
            if job.state.final or job.leased(now):
                raise LeaseLost("the job is not to be had", job_id=job.job_id)
            return job.model_copy(
                update={
                    "lease": lease,
                    "attempts": job.attempts + 1,
                    "started_at": job.started_at or now,
                    "progress": job.progress.model_copy(update={"state": State.RUNNING}),
                    "problem": "",
                }
            )

        return (await self._records.change(parse_job_id(job_id), claimed)).job

    async def renew(
        self, held: Job[Q], *, ttl_s: float, progress: Progress | None = None
    ) -> Snapshot[Q]:
        """Keep a job for another `ttl_s`, and write how it stands; `LeaseLost` if it was taken."""
        now = self._records.now()

        def renewed(job: Job[Q]) -> Job[Q]:
            lease = _held(job, held).model_copy(update={"expires_at": _after(now, ttl_s)})
            update: dict[str, object] = {"lease": lease}
            if progress is not None:
                update["progress"] = progress.model_copy(update={"state": State.RUNNING})
            return job.model_copy(update=update)

        return await self._records.change(held.job_id, renewed)

    async def save(self, held: Job[Q], state: bytes) -> None:
        """Keep what the executor would resume from; `LeaseLost` if the job was taken."""
        prefix = self._records.key("state", held.job_id)
        ref = await write_chunks(self._records.kv, prefix, state)
        replaced: list[ChunkRef] = []

        def with_state(job: Job[Q]) -> Job[Q]:
            _held(job, held)
            replaced[:] = [job.saved] if job.saved is not None and job.saved != ref else []
            return job.model_copy(update={"saved": ref})

        await self._records.change(held.job_id, with_state)
        for old in replaced:
            await delete_value(self._records.kv, prefix, old)

    async def saved(self, job: Job[Q]) -> bytes | None:
        """Return what the last worker saved; None: begin at the beginning."""
        if job.saved is None:
            return None
        return await read_chunks(
            self._records.kv, self._records.key("state", job.job_id), job.saved
        )

    async def release(self, held: Job[Q], *, problem: str = "") -> Job[Q]:
        """Give a job back to the queue; `LeaseLost` if it was taken.

        Parameters
        ----------
        problem
            What was unavailable; empty: nothing, the worker leaves, and that is no failure.
        """

        def released(job: Job[Q]) -> Job[Q]:
            _held(job, held)
            progress = job.progress.model_copy(update={"state": State.QUEUED})
            return job.model_copy(
                update={
                    "lease": None,
                    "progress": progress,
                    "problem": problem,
                    "failures": job.failures + bool(problem),
                }
            )

        return (await self._records.change(held.job_id, released)).job

    async def finish(self, held: Job[Q], report: R) -> Job[Q]:
        """Write how a job ended; `LeaseLost` if it was taken."""
        prefix = self._records.key("report", held.job_id)
        ref = await write_chunks(self._records.kv, prefix, report.model_dump_json().encode())
        counts = self._records.kind.counts(report)

        def finished(_: Job[Q]) -> dict[str, object]:
            return {"progress": report.progress, "report": ref, "counts": counts, "problem": ""}

        return await self._end(held, finished)

    async def fail(self, held: Job[Q], problem: str) -> Job[Q]:
        """Write that a job ended without a report, and why; `LeaseLost` if it was taken."""

        def failed(job: Job[Q]) -> dict[str, object]:
            progress = job.progress.model_copy(update={"state": State.FAILED})
            return {"progress": progress, "problem": problem}

        return await self._end(held, failed)

    async def announced(self, job_id: str) -> None:
        """Note that a job's end has been published, and clear away what only a worker needed."""

        def noted(job: Job[Q]) -> Job[Q]:
            return job.model_copy(update={"announced": True, "saved": None})

        job = (await self._records.change(job_id, noted)).job
        await delete_chunks(self._records.kv, self._records.key("state", job_id))
        await delete_chunks(self._records.kv, self._records.key("report", job_id), keep=job.report)
        await self._records.kv.delete(self._records.key("open", job_id))

    async def _end(self, held: Job[Q], outcome: Callable[[Job[Q]], dict[str, object]]) -> Job[Q]:
        now = self._records.now()

        def ended(job: Job[Q]) -> Job[Q]:
            _held(job, held)
            return job.model_copy(update={**outcome(job), "lease": None, "ended_at": now})

        return (await self._records.change(held.job_id, ended)).job


def _held(job: Job[Q], held: Job[Q]) -> Lease:
    """Return the lease, if it is still the one that `held` was claimed with."""
    mine = held.lease.token if held.lease is not None else None
    if job.lease is None or job.lease.token != mine or job.state.final:
        raise LeaseLost("another worker has the job", job_id=job.job_id)
    return job.lease


def _after(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)
