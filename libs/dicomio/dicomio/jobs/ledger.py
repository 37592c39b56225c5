"""The ledger of jobs of one kind, for those who ask: submit, look, cancel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic

from pydantic import BaseModel, ValidationError

from dicomcore.errors import Conflict, InvalidRequest, Unreadable
from dicomio.jobs.chunks import read_chunks
from dicomio.jobs.kind import JobKind, Q, R
from dicomio.jobs.record import Job, new_job_id, parse_job_id
from dicomio.jobs.records import Records, Snapshot
from dicomio.jobs.states import State

_AT_ONCE = 50


def _every(_job: object) -> bool:
    return True


class _Known(BaseModel):
    """What is kept under an idempotency key."""

    job_id: str
    request_sha256: str


class Ledger(Generic[Q, R]):
    """Jobs as callers see them. Every method may raise `KeyValueUnavailable`."""

    def __init__(self, records: Records[Q, R]) -> None:
        self._records = records

    @property
    def kind(self) -> JobKind[Q, R]:
        """The kind of job that it holds."""
        return self._records.kind

    async def submit(self, peer: str, request: Q, *, key: str = "") -> Job[Q]:
        """Write a job that waits for a worker; with an idempotency key seen before, return its job.

        Raises
        ------
        InvalidRequest
            The key was used for another request.
        """
        now = self._records.now()
        job_id = new_job_id(now)
        idempotency = hashlib.sha256(key.encode()).hexdigest() if key else ""
        if idempotency:
            job_id = await self._once(idempotency, job_id, peer, request)
        job = self._records.kind.job(
            job_id=job_id,
            peer=peer,
            request=request,
            created_at=now,
            updated_at=now,
            idempotency=idempotency,
        )
        try:
            await self._records.create(job)
        except Conflict:
            return (await self._records.get(job_id)).job
        return job

    async def get(self, job_id: str) -> Snapshot[Q]:
        """Return a job; `NotFound` if there is none."""
        return await self._records.get(job_id)

    async def changed(self, job_id: str, *, since: int, timeout_s: float) -> Snapshot[Q] | None:
        """Wait until a job's record is newer than `since`; None when time is up."""
        return await self._records.changed(job_id, since=since, timeout_s=timeout_s)

    async def page(
        self, *, before: str = "", limit: int = 50, keep: Callable[[Job[Q]], bool] = _every
    ) -> Sequence[Job[Q]]:
        """Return jobs, newest first, from the first one older than `before`.

        Parameters
        ----------
        keep
            Which of them are shown.
        """
        ids = [i for i in reversed(await self._records.ids()) if not before or i < before]
        jobs: list[Job[Q]] = []
        while ids and len(jobs) < limit:
            batch, ids = ids[: max(limit, _AT_ONCE)], ids[max(limit, _AT_ONCE) :]
            jobs += filter(keep, await self._records.all_of(batch))
        return jobs[:limit]

    async def cancel(self, job_id: str) -> Job[Q]:
        """Ask for a job's end; one that nobody works on ends at once. No error if it has ended."""
        now = self._records.now()

        def cancelled(job: Job[Q]) -> Job[Q]:
            if job.state.final or (job.cancel_requested and job.leased(now)):
                return job
            if job.leased(now):
                return job.model_copy(update={"cancel_requested": True})
            # claimed by a worker that died, or by none: the next one announces the end
            progress = job.progress.model_copy(update={"state": State.CANCELLED})
            return job.model_copy(
                update={
                    "cancel_requested": True,
                    "progress": progress,
                    "ended_at": now,
                    "lease": None,
                }
            )

        return (await self._records.change(parse_job_id(job_id), cancelled)).job

    async def report(self, job: Job[Q]) -> R | None:
        """Return the report of a job that ended with one.

        Raises
        ------
        Unreadable
            What is stored is not a report.
        """
        if job.report is None:
            return None
        value = await read_chunks(
            self._records.kv, self._records.key("report", job.job_id), job.report
        )
        try:
            return self._records.kind.report.model_validate_json(value)
        except ValidationError:
            raise Unreadable("a stored report cannot be read", job_id=job.job_id) from None

    async def _once(self, idempotency: str, job_id: str, peer: str, request: Q) -> str:
        """Return the job of an idempotency key: this one, or the one it was used for before."""
        asked = f"{peer}\n{request.model_dump_json()}".encode()
        key = self._records.key("idem", idempotency)
        mine = _Known(job_id=job_id, request_sha256=hashlib.sha256(asked).hexdigest())
        try:
            await self._records.kv.create(key, mine.model_dump_json().encode())
        except Conflict:
            entry = await self._records.kv.get(key)
            known = _Known.model_validate_json(entry.value)
            if known.request_sha256 != mine.request_sha256:
                raise InvalidRequest("the idempotency key was used for another request") from None
            return known.job_id
        return job_id
