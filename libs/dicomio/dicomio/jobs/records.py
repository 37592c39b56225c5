"""Job records in the KeyValue port: every change is a compare-and-set.

Keys, after the prefix of the kind: `job.<id>` the record, `open.<id>` while its end is not announced, `idem.<sha256>` the job of an
idempotency key, `state.<id>.…` and `report.<id>.…` chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic

from pydantic import ValidationError

from dicomcore.errors import Conflict, NotFound, Unreadable
from dicomcore.ports import Entry, KeyValue
from dicomio.jobs.kind import JobKind, Q, R
from dicomio.jobs.record import Job, parse_job_id

_TRIES = 50
_READ_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[Q]):
    """A job as it was at a revision of its record."""

    job: Job[Q]
    revision: int


def utc_now() -> datetime:
    """Return the time, as records have it."""
    return datetime.now(UTC)


class Records(Generic[Q, R]):
    """What is known of every job of one kind; both the ledger and the workers' claims are written on it.

    Every method may raise `KeyValueUnavailable`; then it is unknown whether it took effect, and
    the same call again is safe.
    """

    def __init__(
        self, kv: KeyValue, kind: JobKind[Q, R], *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.kv = kv
        self.kind = kind
        self.now = now

    def key(self, group: str, name: str = "") -> str:
        """Return the key of something, or what the keys of its group begin with."""
        return f"{self.kind.prefix}{group}.{name}"

    async def get(self, job_id: str) -> Snapshot[Q]:
        """Return a job; `NotFound` if there is none."""
        try:
            return self._snapshot(await self.kv.get(self.key("job", parse_job_id(job_id))))
        except NotFound:
            raise NotFound("no such job") from None

    async def create(self, job: Job[Q]) -> None:
        """Write a new job, and the marker that it is to be looked after; `Conflict` if it exists.

        The marker comes first: a crash in between leaves a marker, which the sweep removes, and
        never a job that nobody looks after.
        """
        with suppress(Conflict):
            await self.kv.create(self.key("open", job.job_id), b"1")
        await self.kv.create(self.key("job", job.job_id), _encode(job))

    async def changed(self, job_id: str, *, since: int, timeout_s: float) -> Snapshot[Q] | None:
        """Wait until a job's record is newer than `since`; None when time is up."""
        key = self.key("job", parse_job_id(job_id))
        entry = await self.kv.changed(key, since=since, timeout_s=timeout_s)
        return None if entry is None else self._snapshot(entry)

    async def ids(self) -> Sequence[str]:
        """Return the IDs of all jobs, oldest first."""
        return await self._ids("job")

    async def open_ids(self) -> Sequence[str]:
        """Return the IDs of jobs that are to be looked after, oldest first."""
        return await self._ids("open")

    async def change(self, job_id: str, change: Callable[[Job[Q]], Job[Q]]) -> Snapshot[Q]:
        """Apply `change` to the latest record until nobody wrote in between.

        Raises
        ------
        NotFound
            No such job.
        Conflict
            Somebody wrote in between, again and again.
        """
        for _ in range(_TRIES):
            before = await self.get(job_id)
            after = change(before.job)
            if after == before.job:
                return before
            after = after.model_copy(update={"updated_at": self.now()})
            try:
                revision = await self.kv.update(
                    self.key("job", job_id), _encode(after), revision=before.revision
                )
            except Conflict:
                continue
            return Snapshot(after, revision)
        raise Conflict("the job is written by too many at once", job_id=job_id)

    async def all_of(self, job_ids: Sequence[str]) -> Sequence[Job[Q]]:
        """Return those jobs that are there, in this order."""
        jobs: list[Job[Q]] = []
        for start in range(0, len(job_ids), _READ_AT_ONCE):
            batch = job_ids[start : start + _READ_AT_ONCE]
            for got in await asyncio.gather(
                *(self.get(job_id) for job_id in batch), return_exceptions=True
            ):
                if isinstance(got, Snapshot):
                    jobs.append(got.job)
                elif not isinstance(got, NotFound):  # removed in the meantime
                    raise got
        return jobs

    async def _ids(self, group: str) -> Sequence[str]:
        prefix = self.key(group)
        return [key.removeprefix(prefix) for key in await self.kv.keys(prefix)]

    def _snapshot(self, entry: Entry) -> Snapshot[Q]:
        try:
            return Snapshot(self.kind.job.model_validate_json(entry.value), entry.revision)
        except ValidationError:
            raise Unreadable("the record of a job cannot be read") from None


def _encode(job: Job[Q]) -> bytes:
    return job.model_dump_json().encode()
