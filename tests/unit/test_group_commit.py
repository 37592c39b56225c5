"""Threads and a loop that write to one SQLite file: one commit for many, and nothing lost."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicomcore.errors import BusUnavailable, Conflict
from dicomio.local_db import LocalDb, Work

LONG_S = 15.0


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[LocalDb]:
    opened = await LocalDb.open(
        tmp_path / "some.sqlite", "CREATE TABLE t (n INTEGER)", unavailable=BusUnavailable
    )
    yield opened
    await opened.close()


def insert(number: int) -> Work[int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        if number < 0:
            raise Conflict("below zero", number=number)
        return number

    return work


async def numbers(db: LocalDb) -> list[int]:
    rows = await db.read(lambda connection: connection.execute("SELECT n FROM t").fetchall())
    return sorted(n for (n,) in rows)


class Held:
    """A work that holds its transaction open until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, _connection: sqlite3.Connection) -> int:
        self.begun.set()
        assert self.go.wait(LONG_S)
        return -1


class Transactions:
    """Counts the commits of a connection."""

    def __init__(self) -> None:
        self.commits = 0

    def watch(self, connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(self._traced)

    def _traced(self, statement: str) -> None:
        self.commits += statement == "COMMIT"


async def test_threads_and_the_loop_write_at_once_and_nothing_is_lost(db: LocalDb) -> None:
    def many(first: int) -> list[int]:
        return [db.write_from_thread(insert(n), timeout_s=LONG_S) for n in range(first, first + 50)]

    with ThreadPoolExecutor(4) as pool:
        loop = asyncio.get_running_loop()
        threads = [loop.run_in_executor(pool, many, first) for first in (0, 50, 100, 150)]
        returned = await asyncio.gather(*(db.write(insert(n)) for n in range(200, 300)))
        for thread in threads:
            returned += await thread

    assert sorted(returned) == list(range(300))
    assert await numbers(db) == list(range(300))


async def test_what_waits_while_one_commits_shares_the_next_commit(db: LocalDb) -> None:
    held, transactions = Held(), Transactions()
    await db.read(transactions.watch)
    with ThreadPoolExecutor(9) as pool:
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(pool, lambda: db.write_from_thread(held, timeout_s=LONG_S))
        assert await asyncio.to_thread(held.begun.wait, LONG_S)

        others = [
            loop.run_in_executor(
                pool, lambda n=n: db.write_from_thread(insert(n), timeout_s=LONG_S)
            )
            for n in range(8)
        ]
        waiting = [asyncio.ensure_future(db.write(insert(n))) for n in range(8, 16)]
        while len(db._groups._waiting) < 16:
            await asyncio.sleep(0.01)
        held.go.set()
        await asyncio.gather(first, *others, *waiting)

    assert transactions.commits == 2
    assert await numbers(db) == list(range(16))


async def test_one_work_of_a_group_of_threads_that_fails_is_undone_alone(db: LocalDb) -> None:
    def write(number: int) -> int | Conflict:
        try:
            return db.write_from_thread(insert(number), timeout_s=LONG_S)
        except Conflict as exc:
            return exc

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(write, (1, -1, 2, -2, 3, -3, 4, -4)))

    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [1, 2, 3, 4]
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 4
    assert await numbers(db) == [1, 2, 3, 4]


async def test_a_thread_whose_turn_does_not_come_is_told_so_and_writes_nothing(
    db: LocalDb,
) -> None:
    held = Held()
    holding = asyncio.ensure_future(db.write(held))
    assert await asyncio.to_thread(held.begun.wait, LONG_S)

    with pytest.raises(BusUnavailable):
        await asyncio.to_thread(db.write_from_thread, insert(1), timeout_s=0.05)
    held.go.set()
    await holding

    assert await numbers(db) == []
    assert await asyncio.to_thread(db.write_from_thread, insert(2), timeout_s=LONG_S) == 2


async def test_a_failing_file_is_unavailable_to_every_thread_of_the_group(db: LocalDb) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("no such statement")

    def write(_number: int) -> bool:
        try:
            db.write_from_thread(broken, timeout_s=LONG_S)
        except BusUnavailable:
            return True
        return False

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write, range(8)))
    assert await asyncio.to_thread(db.write_from_thread, insert(1), timeout_s=LONG_S) == 1


async def test_after_closing_a_thread_is_refused_and_before_it_nothing_is_dropped(
    tmp_path: Path,
) -> None:
    path = tmp_path / "closing.sqlite"
    db = await LocalDb.open(path, "CREATE TABLE t (n INTEGER)", unavailable=BusUnavailable)
    written: list[int] = []

    def until_refused(first: int) -> None:
        for number in range(first, first + 1_000_000):
            try:
                written.append(db.write_from_thread(insert(number), timeout_s=LONG_S))
            except BusUnavailable:
                return

    with ThreadPoolExecutor(3) as pool:
        loop = asyncio.get_running_loop()
        threads = [loop.run_in_executor(pool, until_refused, n * 1_000_000) for n in range(3)]
        while len(written) < 30:
            await asyncio.sleep(0.01)
        await db.close()
        await asyncio.gather(*threads)

    with sqlite3.connect(path) as connection:
        kept = [n for (n,) in connection.execute("SELECT n FROM t")]
    connection.close()
    assert sorted(kept) == sorted(written)
