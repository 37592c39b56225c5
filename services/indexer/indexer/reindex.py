"""Rebuilds the index from the object store, which is the system of record."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from dicomcore.errors import InvalidRequest, NotFound, Rejected, Unavailable
from dicomcore.keys import INSTANCES
from dicomcore.ports import IndexDb, IndexedInstance, ObjectStat, ObjectStore
from indexer.reading import announced_by_listing, read_version

log = structlog.get_logger(__name__)

_BATCH = 256
_READERS = 8


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How far a rebuild has come."""

    listed: int = 0
    indexed: int = 0
    """Of these, now in the index, readable or not."""
    unreadable: int = 0
    """Of these, without a header."""
    skipped: int = 0
    """Objects under `instances/` that are no instances by their key, or that the index refuses."""


async def reindex(
    store: ObjectStore,
    index: IndexDb,
    *,
    clear: bool = False,
    progress: Callable[[Reindexed], None] = lambda _: None,
) -> Reindexed:
    """Bring every object below `instances/` into the index.

    May run beside the consumer and beside itself: every write is an idempotent upsert. Without
    `clear` it adds what is missing, and headers of objects that could not be read before.

    Parameters
    ----------
    clear
        Forget everything first: after an upgrade of the readers, or when objects were removed.
        Until it ends, answers of the index are incomplete.

    Raises
    ------
    ObjectStoreUnavailable, IndexUnavailable
        What was written stays; start again.
    """
    if clear:
        await index.clear()
    done = Reindexed()
    readers = asyncio.Semaphore(_READERS)
    listing = store.list(INSTANCES)
    while batch := await asyncio.to_thread(lambda: list(itertools.islice(listing, _BATCH))):
        read = await asyncio.gather(*(_read(store, stat, readers) for stat in batch))
        instances = [instance for instance in read if instance is not None]
        written = await _write(index, instances)
        done = Reindexed(
            listed=done.listed + len(batch),
            indexed=done.indexed + len(written),
            unreadable=done.unreadable + sum(1 for one in written if one.header is None),
            skipped=done.skipped + len(batch) - len(written),
        )
        progress(done)
    return done


async def _read(
    store: ObjectStore, stat: ObjectStat, readers: asyncio.Semaphore
) -> IndexedInstance | None:
    try:
        announced = announced_by_listing(stat)
        async with readers:
            return await asyncio.to_thread(read_version, store, announced)
    except (InvalidRequest, NotFound) as exc:  # a stranger's object, or one removed meanwhile
        log.warning("object_skipped", problem=exc.sentence)
    except Unavailable:
        raise
    except Exception:  # an edge: one object that trips us must not end the rebuild of all others
        log.exception("object_skipped", object_key=stat.key)
    return None


async def _write(index: IndexDb, batch: Sequence[IndexedInstance]) -> Sequence[IndexedInstance]:
    """Return what was written of a batch."""
    try:
        await index.upsert(batch)
    except Rejected as exc:
        if len(batch) == 1:
            log.warning("object_refused", object_key=batch[0].object_key, problem=exc.sentence)
            return ()
        # One of them can never be written; the others must not fail with it.
        written = [await _write(index, [one]) for one in batch]
        return [one for some in written for one in some]
    return batch
