"""What every stream that can be looked back through promises, embedded and on a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dicomcore.errors import BusUnavailable
from dicomcore.ports import ConsumerSpec
from dicomio.local_bus import LocalBus

SUBJECT = "dicom.instance.stored.v1"


@pytest.fixture(params=["local", pytest.param("nats", marks=pytest.mark.server)])
def open_history(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "nats":
        return request.getfixturevalue("open_nats_bus")

    @asynccontextmanager
    async def open_local() -> AsyncIterator[LocalBus]:
        bus = await LocalBus.open(tmp_path / "bus.sqlite")
        try:
            yield bus
        finally:
            await bus.close()

    return open_local


async def publish(bus: Any, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        await bus.publish(SUBJECT, f"{number}".encode(), message_id=f"m-{number}")


async def bodies(bus: Any, before: int | None, limit: int) -> list[int]:
    return [int(event.body) for event in await bus.past(before=before, limit=limit)]


async def test_a_stream_without_messages_has_no_past(open_history: Any) -> None:
    async with open_history() as bus:
        assert await bus.past(before=None, limit=10) == []
        assert await bus.past(before=5, limit=10) == []


async def test_the_past_is_newest_first_and_whole(open_history: Any) -> None:
    async with open_history() as bus:
        await publish(bus, 150)

        assert await bodies(bus, None, 5) == [149, 148, 147, 146, 145]
        assert await bodies(bus, None, 1000) == list(range(149, -1, -1))


async def test_page_by_page_nothing_is_missed_or_told_twice_while_more_comes(
    open_history: Any,
) -> None:
    async with open_history() as bus:
        await publish(bus, 25)
        seen: list[int] = []
        before: int | None = None
        while page := await bus.past(before=before, limit=7):
            seen += [int(event.body) for event in page]
            before = page[-1].position
            await publish(bus, 1, start=1000 + len(seen))

        assert seen == list(range(24, -1, -1))


async def test_whoever_looks_back_takes_nothing_from_a_consumer(open_history: Any) -> None:
    async with open_history() as bus:
        consumer = await bus.consumer(
            ConsumerSpec(durable="index", subjects=(SUBJECT,), ack_wait_s=30, max_in_flight=100)
        )
        await publish(bus, 10)

        await bus.past(before=None, limit=100)
        taken: list[int] = []
        async with asyncio.timeout(30):
            while len(taken) < 10:
                for delivery in await consumer.fetch(100, timeout_s=5):
                    taken.append(int(delivery.body))
                    assert delivery.attempt == 1
                    await delivery.ack()

        assert taken == list(range(10))
        assert await bodies(bus, None, 100) == list(range(9, -1, -1))


async def test_a_bus_that_is_closed_says_so(open_history: Any) -> None:
    async with open_history() as bus:
        await bus.close()
        with pytest.raises(BusUnavailable):
            await bus.past(before=None, limit=1)
