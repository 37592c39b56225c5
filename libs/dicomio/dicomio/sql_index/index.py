"""`SqlIndex`: the index port on SQLAlchemy Core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from dicomcore.errors import IndexUnavailable
from dicomcore.ports import (
    IncomingReference,
    IndexCounts,
    IndexedInstance,
    PatientSummary,
    UpsertOutcome,
)
from dicomcore.uids import InstanceUID
from dicomio.sql_index import queries
from dicomio.sql_index.engine import make_engine, migrate, writing
from dicomio.sql_index.faults import mapped_errors
from dicomio.sql_index.rows import from_columns, to_row
from dicomio.sql_index.writer import delete_all, write_batch

T = TypeVar("T")


class SqlIndex:
    """The index in one SQLite file or one PostgreSQL database; satisfies `IndexDb`.

    Lives on the loop that opened it. Encoding and decoding of headers happen in threads.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # In front of the database's own lock: those who wait here hold no connection.
        self._writer = asyncio.Lock()

    @classmethod
    async def open(cls, address: str | Path) -> SqlIndex:
        """Connect, bring the schema up to date, and return the index.

        Parameters
        ----------
        address
            See `engine.make_engine`.

        Raises
        ------
        InvalidRequest
            Not an address of a database that we use.
        IndexUnavailable
            It does not answer.
        """
        index = cls(make_engine(address))
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
        rows = await asyncio.to_thread(lambda: [to_row(instance) for instance in instances])
        return await self._write(lambda connection: write_batch(connection, rows))

    async def versions(self, uid: InstanceUID) -> Sequence[IndexedInstance]:
        """Return every version of an instance, oldest first; empty if unknown."""
        stored = await self._read(lambda connection: queries.versions(connection, uid))
        return await asyncio.to_thread(_decoded, stored)

    async def of_patient(self, patient_id: str) -> Sequence[IndexedInstance]:
        """Return every readable version of every instance of a patient, by object key."""
        stored = await self._read(lambda connection: queries.of_patient(connection, patient_id))
        return await asyncio.to_thread(_decoded, stored)

    async def conflicts(self, patient_id: str) -> frozenset[str]:
        """Return the patient's SOP Instance UIDs with more than one version, wherever those are."""
        return await self._read(lambda connection: queries.conflicts(connection, patient_id))

    async def referenced_by(self, uid: str, *, limit: int = 1000) -> Sequence[IncomingReference]:
        """Return who references an instance, series, study or frame, sorted; at most `limit`."""
        return await self._read(lambda connection: queries.referenced_by(connection, uid, limit))

    async def patients(
        self, *, after: str | None = None, limit: int = 100
    ) -> Sequence[PatientSummary]:
        """Return patients in code point order of their ID, from the first one above `after`."""
        return await self._read(lambda connection: queries.patients(connection, after, limit))

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
        await self._engine.dispose()

    async def _read(self, ask: Callable[[Connection], T]) -> T:
        with mapped_errors():
            async with self._engine.connect() as connection:
                return await connection.run_sync(ask)

    async def _write(self, change: Callable[[Connection], T]) -> T:
        async with self._writer:
            with mapped_errors():
                async with writing(self._engine) as connection:
                    return await connection.run_sync(change)


def _decoded(stored: Sequence[queries.Stored]) -> list[IndexedInstance]:
    return [from_columns(facts, header) for facts, header in stored]
