"""Upkeep of the ledger: jobs that fell out of the queue, and jobs nobody asks about any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dicomcore.errors import NotFound
from dicomio.jobs.chunks import delete_chunks
from dicomio.jobs.kind import Q, R
from dicomio.jobs.record import Job, first_job_id
from dicomio.jobs.records import Records


async def forgotten(records: Records[Q, R], *, idle_s: float) -> Sequence[Job[Q]]:
    """Return jobs whose end is not announced, whom nobody works on, unchanged for `idle_s`.

    Raises
    ------
    KeyValueUnavailable
    """
    now = records.now()
    before = now - timedelta(seconds=idle_s)
    found: list[Job[Q]] = []
    for job_id in await records.open_ids():
        try:
            job = (await records.get(job_id)).job
        except NotFound:
            if job_id < first_job_id(before):  # not one that is being submitted just now
                await records.kv.delete(records.key("open", job_id))
            continue
        if job.announced:
            await records.kv.delete(records.key("open", job_id))
        elif not job.leased(now) and job.updated_at < before:
            found.append(job)
    return found


async def prune(records: Records[Q, R], *, older_than_s: float) -> int:
    """Remove jobs that were made so long ago and have ended; return how many.

    Raises
    ------
    KeyValueUnavailable
    """
    limit = first_job_id(records.now() - timedelta(seconds=older_than_s))
    removed = 0
    for job in await records.all_of([job_id for job_id in await records.ids() if job_id < limit]):
        if not job.announced:
            continue
        await delete_chunks(records.kv, records.key("report", job.job_id))
        if job.idempotency:
            await records.kv.delete(records.key("idem", job.idempotency))
        await records.kv.delete(records.key("job", job.job_id))
        removed += 1
    return removed
