"""One SQLite file for the embedded bus or key-value store, used from a loop and from threads."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from dicomcore.errors import Unavailable
from dicomio.group_commit import GroupCommit, Need, Ticket, Work

__all__ = ["LocalDb", "Work"]

T = TypeVar("T")

BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that writes the same file."""


class LocalDb:
    """Transactions on one SQLite file; lives on one event loop, and threads may write as well.

    Writes that come while a transaction is being committed share the next one, so a hundred
    concurrent writers pay for one fsync, not for a hundred. Who waits on the loop has the work done in
    a thread of this object's; a thread does its own, and what waits with it.

    Notes
    -----
    Whole transactions are handed over as functions. Statement by statement, as aiosqlite does it, each
    would cost two switches between threads while the file is locked.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        thread: ThreadPoolExecutor,
        unavailable: type[Unavailable],
    ) -> None:
        self._connection = connection
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._futures: dict[Ticket[Any], asyncio.Future[Any]] = {}
        self._groups = GroupCommit(
            connection, unavailable, answered=self._answered, promoted=self._promoted
        )
        self._closed = False

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
        return cls(connection, thread, unavailable)

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
        return await self._do(work, Need.DURABLE if durable else Need.WRITE)

    async def read(self, work: Work[T]) -> T:
        """Return the result of `work`, which changes nothing."""
        return await self._do(work, Need.READ)

    def write_from_thread(self, work: Work[T], *, durable: bool = True, timeout_s: float) -> T:
        """Do as `write` does, in the thread that calls; never from the loop's own.

        Raises
        ------
        Unavailable
            As `write`; also when it was not this thread's turn within `timeout_s`: then nobody knows.
        """
        need = Need.DURABLE if durable else Need.WRITE
        return self._groups.do(work, need, timeout_s=timeout_s)

    async def close(self) -> None:
        """Commit what waits, close the file, end the thread; no error if it is closed already."""
        if self._closed:
            return
        self._closed = True
        await self._do(_nothing, Need.READ, last=True)
        await self._loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=True)

    async def _do(self, work: Work[T], need: Need, *, last: bool = False) -> T:
        ticket = Ticket(work, need, blocking=False)
        done: asyncio.Future[T] = self._loop.create_future()
        self._futures[ticket] = done
        try:
            self._groups.submit(ticket, last=last)
            return await done
        finally:
            del self._futures[ticket]

    def _promoted(self, ticket: Ticket[Any]) -> None:
        self._thread.submit(self._groups.lead, ticket)

    def _answered(self, tickets: Sequence[Ticket[Any]]) -> None:
        with suppress(RuntimeError):  # the loop has stopped, and nobody waits on it
            self._loop.call_soon_threadsafe(self._answer, tickets)

    def _answer(self, tickets: Sequence[Ticket[Any]]) -> None:
        for ticket in tickets:
            future = self._futures.get(ticket)
            if future is None or future.done():  # cancelled
                continue
            if ticket.error is not None:
                future.set_exception(ticket.error)
            else:
                future.set_result(ticket.result)


def _nothing(_connection: sqlite3.Connection) -> None:
    return None


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
