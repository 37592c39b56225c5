"""`SqlIndex`: the index port on SQLAlchemy Core."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from dicomcore.errors import IndexUnavailable
from dicomcore.model import InstanceHeader
from dicomcore.plan_query import EVERY_PATIENT, PatientQuery, PlanQuery
from dicomcore.ports import (
    FoundInstance,
    FoundPage,
    IncomingReference,
    IndexCounts,
    IndexedInstance,
    PatientPage,
    PlanPage,
    Position,
    SearchScope,
    SeriesSummary,
    StudySummary,
    UpsertOutcome,
    ValueCount,
)
from dicomcore.query import Query
from dicomcore.references import Stack
from dicomcore.tagpath import Path as TagPath
from dicomcore.uids import InstanceUID
from dicomio.sql_index import (
    hierarchy,
    listings,
    packing,
    plan_fill,
    plan_search,
    queries,
)
from dicomio.sql_index import patients as people
from dicomio.sql_index.engine import Database, migrate, open_database
from dicomio.sql_index.faults import mapped_errors
from dicomio.sql_index.rows import Row, to_row
from dicomio.sql_index.search import Finder
from dicomio.sql_index.segments import Encoded, Place, encode
from dicomio.sql_index.writer import delete_all, write_batch

T = TypeVar("T")


class SqlIndex:
    """The index in one SQLite file or one PostgreSQL database; satisfies `IndexDb`.

    Lives on the loop that opened it. Encoding and decoding of headers happen in threads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, address: str | Path) -> SqlIndex:
        """Connect, bring the schema up to date, and return the index.

        Parameters
        ----------
        address
            See `engine.open_database`.

        Raises
        ------
        InvalidRequest
            Not an address of a database that we use.
        IndexUnavailable
            It does not answer.
        """
        index = cls(open_database(address))
        try:
            await index._write(migrate)
        except BaseException:
            await index.close()
            raise
        return index

    async def upsert(self, instances: Sequence[IndexedInstance]) -> Sequence[UpsertOutcome]:
        """Write all or nothing; see `IndexDb.upsert`.

        Raises
        ------
        InvalidRequest
            A version contradicts itself; see `rows.to_row`.
        Rejected
            The database never takes a value of this batch.
        IndexUnavailable
            Nothing was written, or nobody knows: the same batch may come again.
        """
        if not instances:
            return ()
        batch, encoded = await asyncio.to_thread(_prepared, instances)
        now_us = time.time_ns() // 1000
        return await self._write(lambda connection: write_batch(connection, batch, encoded, now_us))

    async def versions(self, uid: InstanceUID) -> Sequence[IndexedInstance]:
        """Return every version of an instance, oldest first; empty if unknown."""
        stored = await self._read(lambda connection: queries.versions(connection, uid))
        return await asyncio.to_thread(queries.instances, stored)

    async def of_patient(self, patient_id: str) -> Sequence[IndexedInstance]:
        """Return every readable version of every instance of a patient, by object key."""
        stored = await self._read(lambda connection: queries.of_patient(connection, patient_id))
        return await asyncio.to_thread(queries.instances, stored)

    async def headers_of(self, patient_id: str) -> tuple[Sequence[InstanceHeader], Sequence[Stack]]:
        """Return the headers of a patient's readable versions, images that differ little as stacks."""
        stored = await self._read(lambda connection: queries.for_tree(connection, patient_id))
        return await asyncio.to_thread(queries.headers, stored)

    async def conflicts(self, patient_id: str) -> frozenset[str]:
        """Return the patient's SOP Instance UIDs with more than one version, wherever those are."""
        return await self._read(lambda connection: queries.conflicts(connection, patient_id))

    async def referenced_by(self, uid: str, *, limit: int = 1000) -> Sequence[IncomingReference]:
        """Return who references an instance, series, study or frame, sorted; at most `limit`."""
        return await self._read(lambda connection: queries.referenced_by(connection, uid, limit))

    async def patients(
        self,
        query: PatientQuery = EVERY_PATIENT,
        *,
        after: Position | None = None,
        limit: int = 100,
    ) -> PatientPage:
        """Return a page of the patients that fulfil a query, in its order."""
        return await self._read(lambda c: people.find_patients(c, query, after, limit))

    async def plans(
        self, query: PlanQuery, *, after: Position | None = None, limit: int = 100
    ) -> PlanPage:
        """Return a page of the plans that fulfil a query, in its order."""
        return await self._read(lambda c: plan_search.find_plans(c, query, after, limit))

    async def studies(
        self, scope: SearchScope, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, StudySummary]]:
        """Return studies and their positions, from the first one above `after`."""
        return await self._read(lambda c: hierarchy.studies(c, scope, after, limit))

    async def series(
        self, scope: SearchScope, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, SeriesSummary]]:
        """Return series and their positions, from the first one above `after`."""
        return await self._read(lambda c: hierarchy.series(c, scope, after, limit))

    async def instances(
        self, scope: SearchScope, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, FoundInstance]]:
        """Return readable versions and their positions, from the first one above `after`."""
        return await self._read(lambda c: hierarchy.instances(c, scope, after, limit))

    async def search(
        self,
        query: Query,
        scope: SearchScope,
        *,
        after: tuple[int, int] | None = None,
        limit: int = 100,
    ) -> FoundPage:
        """Return instances of which every term holds; see `IndexDb.search`."""
        return await self._read(
            lambda c: listings.found_page(c, query, scope, after=after, limit=limit)
        )

    async def count(self, query: Query, scope: SearchScope) -> int:
        """Return how many instances, every version counted, fulfil a query."""
        return await self._read(lambda c: Finder(c, query, scope, tell=False).count())

    async def values(
        self,
        path: TagPath,
        query: Query | None,
        scope: SearchScope,
        *,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[ValueCount]:
        """Return the values of an attribute and their counts; see `IndexDb.values`."""
        return await self._read(
            lambda c: listings.value_counts(c, path, query, scope, after=after, limit=limit)
        )

    async def pack(self, *, quiet_s: float) -> int:
        """Pack some series to which nothing was written for `quiet_s`; see `IndexDb.pack`."""
        quiet_before_us = time.time_ns() // 1000 - round(quiet_s * 1e6)
        segments = await self._read(lambda c: packing.due(c, quiet_before_us))
        if not segments:
            return 0
        repacks = await asyncio.to_thread(packing.repacks, segments)
        now_us = time.time_ns() // 1000
        return await self._write(lambda c: packing.write_repacks(c, repacks, now_us))

    async def catch_up(self) -> bool:
        """Derive some facts of plans that an older release has not; see `IndexDb.catch_up`."""
        due = await self._read(plan_fill.due)
        if due is None:
            return False
        found = await asyncio.to_thread(plan_fill.derived, due)
        await self._write(lambda c: plan_fill.write(c, due, found))
        return True

    async def counts(self) -> IndexCounts:
        """Return how much the index holds."""
        return await self._read(queries.counts)

    async def clear(self) -> None:
        """Forget everything, before a rebuild."""
        await self._write(delete_all)

    async def healthy(self) -> bool:
        """Return whether the index would answer now."""
        try:
            await self._read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        except IndexUnavailable:
            return False
        return True

    async def close(self) -> None:
        """Release connections."""
        await self._database.close()

    async def _read(self, ask: Callable[[Connection], T]) -> T:
        with mapped_errors():
            return await self._database.read(ask)

    async def _write(self, change: Callable[[Connection], T]) -> T:
        with mapped_errors():
            return await self._database.write(change)


def _prepared(
    instances: Sequence[IndexedInstance],
) -> tuple[Sequence[Row], Mapping[Place, Encoded]]:
    batch = [to_row(instance) for instance in instances]
    return batch, encode(batch)
