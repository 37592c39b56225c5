"""One SQLite file for the embedded bus or key-value store: one thread, group commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dicomcore.errors import DicomToolsError, Unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""What is done inside a transaction. One that raises an error of ours is rolled back alone."""

BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that writes the same file."""
_LARGEST_GROUP = 512


@dataclass(frozen=True, slots=True)
class _Waiting:
    work: Work[Any]
    durable: bool
    done: asyncio.Future[Any]


class LocalDb:
    """Transactions on one SQLite file, all in one thread; lives on one event loop.

    Writes that come while a transaction is being committed share the next one, so a hundred
    concurrent writers pay for one fsync, not for a hundred.

    Notes
    -----
    Whole transactions are handed to the thread as functions. Statement by statement, as aiosqlite
    does it, each would cost two switches between threads while the file is locked.
    """

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._waiting: deque[_Waiting] = deque()
        self._committer: asyncio.Task[None] | None = None
        self._unavailable: type[Unavailable] = Unavailable
        self._closed = False
        self._synchronous = ""

    @classmethod
    async def open(cls, path: Path, schema: str, *, unavailable: type[Unavailable]) -> LocalDb:
        """Open or make the file at `path`, and in it what `schema` (a script) asks for.

        Parameters
        ----------
        unavailable
            The error that a caller of this database is promised.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{path.name}")
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(thread, _connect, path, schema)
        except (sqlite3.Error, OSError) as exc:
            thread.shutdown(wait=True)
            raise unavailable("the local database cannot be opened") from exc
        except BaseException:
            thread.shutdown(wait=True)
            raise
        db = cls(connection, thread)
        db._unavailable = unavailable
        return db

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Run `work` in a transaction and return its result once that is committed.

        Parameters
        ----------
        durable
            Whether the commit waits until the disk has it. Without, it survives the end of this
            process at any moment, but a power cut may undo it; order is kept in any case.

        Raises
        ------
        Unavailable
            As given to `open`: disk full, file locked for too long, closed. Nothing was written,
            unless the caller was cancelled: then nobody knows.
        """
        self._require_open()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(work, durable, done))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_waiting())
        return await done

    async def read(self, work: Work[T]) -> T:
        """Return the result of `work`, which changes nothing."""
        self._require_open()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, work, self._connection)
        except sqlite3.Error as exc:
            raise self._unavailable("the local database does not answer") from exc

    async def close(self) -> None:
        """Commit what waits, close the file, end the thread; no error if it is closed already."""
        if self._closed:
            return
        self._closed = True
        if self._committer is not None:
            await self._committer
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=True)

    def _require_open(self) -> None:
        if self._closed:
            raise self._unavailable("the local database is closed")

    async def _commit_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                size = min(len(self._waiting), _LARGEST_GROUP)
                group = [self._waiting.popleft() for _ in range(size)]
                commit = loop.run_in_executor(self._thread, self._commit, group)
                await asyncio.wait([commit])
                self._answer(group, commit)
        finally:
            self._committer = None

    def _answer(
        self,
        group: list[_Waiting],
        commit: asyncio.Future[list[tuple[Any, DicomToolsError | None]]],
    ) -> None:
        failure = commit.exception()
        if isinstance(failure, sqlite3.Error):
            sqlite_error, failure = (
                failure,
                self._unavailable("the local database cannot be written"),
            )
            failure.__cause__ = sqlite_error
        outcomes = commit.result() if failure is None else [(None, failure)] * len(group)
        for waiting, (result, error) in zip(group, outcomes, strict=True):
            if waiting.done.cancelled():
                continue
            if error is not None:
                waiting.done.set_exception(error)
            else:
                waiting.done.set_result(result)

    def _commit(self, group: list[_Waiting]) -> list[tuple[Any, DicomToolsError | None]]:
        """Run a group in one transaction, in the database's thread."""
        connection = self._connection
        self._wait_for_disk(durable=any(waiting.durable for waiting in group))
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [_attempt(connection, waiting.work) for waiting in group]
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.rollback()
        return outcomes

    def _wait_for_disk(self, *, durable: bool) -> None:
        # In WAL mode NORMAL writes the log without fsync; the next FULL commit syncs all before it.
        synchronous = "FULL" if durable else "NORMAL"
        if synchronous != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous={synchronous}")
            self._synchronous = synchronous


def _attempt(
    connection: sqlite3.Connection, work: Work[T]
) -> tuple[T | None, DicomToolsError | None]:
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except DicomToolsError as exc:
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        return None, exc
    connection.execute("RELEASE work")
    return result, None


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        with closing(connection.execute("PRAGMA journal_mode=WAL")) as cursor:
            cursor.fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection
