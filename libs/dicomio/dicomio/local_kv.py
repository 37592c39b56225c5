"""KeyValue on one SQLite file: the embedded form of a JetStream key-value bucket."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from dicomcore.errors import Conflict, KeyValueUnavailable, NotFound
from dicomcore.ports import Entry
from dicomio.key_rules import checked_key, checked_value
from dicomio.local_db import LocalDb, Work

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL,
    UNIQUE (bucket, key)
);
"""
_POLL_S = 1.0


class LocalKeyValue:
    """One bucket of small values in one file; several buckets may share the file.

    Everything that uses this object wakes who waits in `changed` at once; another process on the
    same file is noticed within a second.
    """

    def __init__(self, db: LocalDb, bucket: str) -> None:
        self._db = db
        self._bucket = bucket
        self._changed = asyncio.Event()

    @classmethod
    async def open(cls, path: Path, bucket: str) -> LocalKeyValue:
        """Open or make a bucket in the file at `path`.

        Raises
        ------
        KeyValueUnavailable
        """
        db = await LocalDb.open(path, _SCHEMA, unavailable=KeyValueUnavailable)
        return cls(db, bucket)

    async def get(self, key: str) -> Entry:
        checked_key(key)
        entry = await self._db.read(lambda connection: _entry(connection, self._bucket, key))
        if entry is None:
            raise NotFound("no such key", key=key)
        return entry

    async def create(self, key: str, value: bytes) -> int:
        checked_key(key)
        checked_value(value)

        def insert(connection: sqlite3.Connection) -> int:
            if _entry(connection, self._bucket, key) is not None:
                raise Conflict("the key exists", key=key)
            revision = _next_revision(connection, self._bucket)
            connection.execute(
                "INSERT INTO entry (bucket, key, value, revision) VALUES (?, ?, ?, ?)",
                (self._bucket, key, value, revision),
            )
            return revision

        return await self._write(insert)

    async def update(self, key: str, value: bytes, *, revision: int) -> int:
        checked_key(key)
        checked_value(value)

        def replace(connection: sqlite3.Connection) -> int:
            entry = _entry(connection, self._bucket, key)
            if entry is None or entry.revision != revision:
                raise Conflict("the key was written by somebody else", key=key)
            new = _next_revision(connection, self._bucket)
            connection.execute(
                "UPDATE entry SET value = ?, revision = ? WHERE bucket = ? AND key = ?",
                (value, new, self._bucket, key),
            )
            return new

        return await self._write(replace)

    async def delete(self, key: str) -> None:
        checked_key(key)
        await self._db.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM entry WHERE bucket = ? AND key = ?", (self._bucket, key)
                ).rowcount
            )
        )

    async def keys(self, prefix: str = "") -> Sequence[str]:
        def select(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT key FROM entry WHERE bucket = ? AND key >= ? ORDER BY key",
                (self._bucket, prefix),
            )
            return [key for (key,) in rows if key.startswith(prefix)]

        return await self._db.read(select)

    async def changed(self, key: str, *, since: int, timeout_s: float) -> Entry | None:
        checked_key(key)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            changed = self._changed  # taken before looking, so that no change slips between
            entry = await self._db.read(lambda connection: _entry(connection, self._bucket, key))
            if entry is not None and entry.revision > since:
                return entry
            remaining = deadline - loop.time()
            if remaining <= 0:
                return None
            try:
                async with asyncio.timeout(min(remaining, _POLL_S)):
                    await changed.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        self._wake()
        await self._db.close()

    async def _write(self, work: Work[int]) -> int:
        revision = await self._db.write(work)
        self._wake()
        return revision

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _entry(connection: sqlite3.Connection, bucket: str, key: str) -> Entry | None:
    row = connection.execute(
        "SELECT value, revision FROM entry WHERE bucket = ? AND key = ?", (bucket, key)
    ).fetchone()
    return None if row is None else Entry(value=row[0], revision=row[1])


def _next_revision(connection: sqlite3.Connection, bucket: str) -> int:
    """Count per bucket, not per key: a key that was deleted and made again only grows."""
    (revision,) = connection.execute(
        "INSERT INTO bucket (name, revision) VALUES (?, 1)"
        " ON CONFLICT (name) DO UPDATE SET revision = revision + 1 RETURNING revision",
        (bucket,),
    ).fetchone()
    return int(revision)
