"""The embedded bus and its database, where the clock and the disk are in our hands."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dicomcore.errors import BusUnavailable, Conflict, KeyValueUnavailable
from dicomcore.ports import ConsumerSpec
from dicomio.local_bus import LocalBus, LocalBusOptions
from dicomio.local_db import LocalDb, Work
from dicomio.local_kv import LocalKeyValue
from dicomio.local_stream import subject_matches

STORED = "dicom.instance.stored.v1"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def bus(tmp_path: Path, clock: Clock) -> AsyncIterator[LocalBus]:
    options = LocalBusOptions(duplicate_window_s=100, retention_s=1000, prune_every_s=1e9)
    opened = await LocalBus.open(tmp_path / "bus.sqlite", options, clock=clock)
    yield opened
    await opened.close()


def stored(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
    finally:
        connection.close()
    return int(count)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("a.*.>", "a.b.c", True),
        ("a.*.>", "a.b", False),
        ("a.b", "A.b", False),
    ],
)
def test_subjects_match_as_in_nats(pattern: str, subject: str, expected: bool) -> None:
    assert subject_matches(pattern, subject) is expected


async def test_a_message_id_is_forgotten_after_the_window(bus: LocalBus, clock: Clock) -> None:
    await bus.publish(STORED, b"x", message_id="one")

    clock.now += 99
    within = await bus.publish(STORED, b"x", message_id="one")
    clock.now += 2
    after = await bus.publish(STORED, b"x", message_id="one")

    assert (within, after) == (False, True)


async def test_what_every_consumer_has_finished_with_is_dropped_after_retention(
    bus: LocalBus, clock: Clock, tmp_path: Path
) -> None:
    for n in range(3):
        await bus.publish(STORED, b"x", message_id=f"{n}")
    fast, slow = [
        await bus.consumer(ConsumerSpec(name, ("dicom.>",), ack_wait_s=1e9))
        for name in ("fast", "slow")
    ]
    for delivery in await fast.fetch(10, timeout_s=0):
        await delivery.ack()
    done, *open_ones = await slow.fetch(10, timeout_s=0)
    await done.ack()

    before_retention = await bus.prune()
    clock.now += 1001
    first = await bus.prune()
    for delivery in open_ones:
        await delivery.ack()
    rest = await bus.prune()

    assert (before_retention, first, rest) == (0, 1, 2)
    assert stored(tmp_path / "bus.sqlite") == 0


async def test_without_a_consumer_nothing_is_dropped(
    bus: LocalBus, clock: Clock, tmp_path: Path
) -> None:
    await bus.publish(STORED, b"x", message_id="one")
    clock.now += 1e6

    assert await bus.prune() == 0
    assert stored(tmp_path / "bus.sqlite") == 1


async def test_publishing_prunes_now_and_then(tmp_path: Path, clock: Clock) -> None:
    options = LocalBusOptions(duplicate_window_s=0, retention_s=10, prune_every_s=5)
    bus = await LocalBus.open(tmp_path / "bus.sqlite", options, clock=clock)
    consumer = await bus.consumer(ConsumerSpec("indexer", ("dicom.>",)))
    await bus.publish(STORED, b"old", message_id="old")
    for delivery in await consumer.fetch(10, timeout_s=0):
        await delivery.ack()

    clock.now += 11
    await bus.publish(STORED, b"new", message_id="new")
    await bus.close()

    assert stored(tmp_path / "bus.sqlite") == 1


async def test_an_ack_after_ack_wait_counts_though_somebody_else_has_it(
    bus: LocalBus, clock: Clock
) -> None:
    await bus.publish(STORED, b"x", message_id="one")
    consumer = await bus.consumer(ConsumerSpec("indexer", ("dicom.>",), ack_wait_s=30))
    (late,) = await consumer.fetch(1, timeout_s=0)
    clock.now += 31
    (second,) = await consumer.fetch(1, timeout_s=0)

    await late.ack()
    clock.now += 31

    assert second.attempt == 2
    assert list(await consumer.fetch(1, timeout_s=0)) == []


async def test_a_late_nak_or_in_progress_does_not_touch_the_delivery_of_another(
    bus: LocalBus, clock: Clock
) -> None:
    await bus.publish(STORED, b"x", message_id="one")
    consumer = await bus.consumer(ConsumerSpec("indexer", ("dicom.>",), ack_wait_s=30))
    (late,) = await consumer.fetch(1, timeout_s=0)
    clock.now += 31
    await consumer.fetch(1, timeout_s=0)

    await late.in_progress()
    await late.nak(delay_s=0)
    at_once = await consumer.fetch(1, timeout_s=0)
    clock.now += 31
    (third,) = await consumer.fetch(1, timeout_s=0)

    assert list(at_once) == []
    assert third.attempt == 3


async def test_rare_subjects_are_found_behind_many_others(bus: LocalBus) -> None:
    await asyncio.gather(
        *(bus.publish(STORED, b"x", message_id=f"common-{n}") for n in range(1200))
    )
    await bus.publish("dicom.dead.v1", b"rare", message_id="rare")
    consumer = await bus.consumer(ConsumerSpec("dead", ("dicom.dead.*",)))

    (delivery,) = await consumer.fetch(10, timeout_s=0)

    assert delivery.body == b"rare"


async def test_a_full_disk_is_unavailable_and_what_was_acknowledged_stays(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "bus.sqlite"
    bus = await LocalBus.open(path, clock=clock)
    await bus._db.read(
        lambda connection: connection.execute("PRAGMA max_page_count = 40").fetchone()
    )

    outcomes: list[bool | BaseException] = []
    for first in range(0, 200, 10):
        outcomes += await asyncio.gather(
            *(bus.publish(STORED, bytes(1000), message_id=f"{first + n}") for n in range(10)),
            return_exceptions=True,
        )
    acknowledged = outcomes.count(True)
    await bus._db.read(
        lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone()
    )
    await bus.publish(STORED, b"room again", message_id="again")
    await bus.close()

    assert 0 < acknowledged < 200
    assert all(o is True or isinstance(o, BusUnavailable) for o in outcomes)
    assert stored(path) == acknowledged + 1


async def test_what_is_not_a_database_is_unavailable(tmp_path: Path) -> None:
    garbage = tmp_path / "bus.sqlite"
    garbage.write_bytes(b"not a database, " * 1000)

    with pytest.raises(BusUnavailable):
        await LocalBus.open(garbage)
    with pytest.raises(KeyValueUnavailable):
        await LocalKeyValue.open(tmp_path, "a-directory-is-no-file")


async def test_closing_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())

    bus = await LocalBus.open(tmp_path / "bus.sqlite")
    await bus.close()
    await bus.close()

    assert set(threading.enumerate()) == before


async def test_closing_wakes_who_waits_in_fetch(tmp_path: Path) -> None:
    bus = await LocalBus.open(tmp_path / "bus.sqlite", LocalBusOptions(poll_s=3600))
    consumer = await bus.consumer(ConsumerSpec("indexer", ("dicom.>",)))
    waiting = asyncio.create_task(consumer.fetch(1, timeout_s=3600))
    await asyncio.sleep(0.05)

    await bus.close()

    with pytest.raises(BusUnavailable):
        await asyncio.wait_for(waiting, 15)


async def test_one_work_of_a_group_that_fails_is_undone_alone(tmp_path: Path) -> None:
    db = await LocalDb.open(
        tmp_path / "some.sqlite", "CREATE TABLE t (n INTEGER)", unavailable=BusUnavailable
    )

    def insert(number: int) -> Work[int]:
        def work(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO t VALUES (?)", (number,))
            if number % 2:
                raise Conflict("odd", number=number)
            return number

        return work

    results = await asyncio.gather(
        *(db.write(insert(n)) for n in range(10)),
        return_exceptions=True,
    )
    kept = await db.read(lambda connection: connection.execute("SELECT n FROM t").fetchall())
    await db.close()

    assert [r for r in results if isinstance(r, int)] == [0, 2, 4, 6, 8]
    assert sum(isinstance(r, Conflict) for r in results) == 5
    assert kept == [(0,), (2,), (4,), (6,), (8,)]


async def test_a_mistake_in_a_work_undoes_its_group_and_the_next_one_works(tmp_path: Path) -> None:
    db = await LocalDb.open(
        tmp_path / "some.sqlite", "CREATE TABLE t (n INTEGER)", unavailable=BusUnavailable
    )

    def mistaken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.write(mistaken)
    with pytest.raises(BusUnavailable):
        await db.write(lambda connection: connection.execute("no such statement"))
    await db.write(lambda connection: connection.execute("INSERT INTO t VALUES (2)").rowcount)
    kept = await db.read(lambda connection: connection.execute("SELECT n FROM t").fetchall())
    await db.close()

    assert kept == [(2,)]
