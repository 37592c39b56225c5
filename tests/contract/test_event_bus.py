"""What every EventBus promises, on the embedded adapter and on a real NATS server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from dicomcore.errors import BusUnavailable
from dicomcore.ports import Consumer, ConsumerSpec, Delivery, EventBus
from dicomio.local_bus import LocalBus

STORED = "dicom.instance.stored.v1"
CONFLICT = "dicom.instance.conflict.v1"
LONG_S = 15.0
"""For what must come: long, because the machine may be busy; passed only when it fails."""
SHORT_S = 0.3
"""For what must not come."""

OpenBus = Callable[[], AbstractAsyncContextManager[EventBus]]


class FromThreads:
    """The embedded bus, with publishers that are threads, as associations are."""

    def __init__(self, bus: LocalBus) -> None:
        self._bus = bus
        self.consumer, self.healthy, self.close = bus.consumer, bus.healthy, bus.close

    async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
        return await asyncio.to_thread(
            self._bus.publish_from_thread, subject, body, message_id=message_id, timeout_s=LONG_S
        )


@pytest.fixture(
    params=["local", "local-from-threads", pytest.param("nats", marks=pytest.mark.server)]
)
def open_bus(request: pytest.FixtureRequest, tmp_path: Path) -> OpenBus:
    """Opens the bus of this test; again and again, it is the same stream."""
    if request.param == "nats":
        opened: OpenBus = request.getfixturevalue("open_nats_bus")
        return opened

    @asynccontextmanager
    async def open_local() -> AsyncIterator[EventBus]:
        bus = await LocalBus.open(tmp_path / "bus.sqlite")
        try:
            yield FromThreads(bus) if request.param == "local-from-threads" else bus
        finally:
            await bus.close()

    return open_local


@pytest.fixture
async def bus(open_bus: OpenBus) -> AsyncIterator[EventBus]:
    async with open_bus() as opened:
        yield opened


def spec(
    durable: str = "indexer",
    *subjects: str,
    ack_wait_s: float = 30.0,
    max_in_flight: int = 1024,
) -> ConsumerSpec:
    return ConsumerSpec(
        durable,
        subjects or ("dicom.>",),
        ack_wait_s=ack_wait_s,
        max_in_flight=max_in_flight,
    )


async def publish(bus: EventBus, count: int, subject: str = STORED) -> None:
    await asyncio.gather(
        *(bus.publish(subject, b"%d" % n, message_id=f"{subject}-{n}") for n in range(count))
    )


async def fetch_all(consumer: Consumer, count: int, *, at_once: int = 100) -> list[Delivery]:
    """Fetch until `count` have come; what comes is not answered."""
    deadline = time.monotonic() + LONG_S
    deliveries: list[Delivery] = []
    while len(deliveries) < count and time.monotonic() < deadline:
        deliveries += await consumer.fetch(min(at_once, count - len(deliveries)), timeout_s=LONG_S)
    assert len(deliveries) == count
    return deliveries


async def ack_all(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        await delivery.ack()


def bodies(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


async def nothing_comes(consumer: Consumer) -> bool:
    return not await consumer.fetch(10, timeout_s=SHORT_S)


async def test_a_message_comes_as_it_was_published(bus: EventBus) -> None:
    body = bytes(range(256))
    await bus.publish(STORED, body, message_id="one")

    (delivery,) = await fetch_all(await bus.consumer(spec()), 1)

    assert (delivery.subject, delivery.body, delivery.attempt) == (STORED, body, 1)
    await delivery.ack()


async def test_messages_come_in_the_order_of_publishing(bus: EventBus) -> None:
    for n in range(20):
        await bus.publish(STORED, b"%d" % n, message_id=f"ordered-{n}")

    deliveries = await fetch_all(await bus.consumer(spec()), 20)

    assert bodies(deliveries) == [b"%d" % n for n in range(20)]
    await ack_all(deliveries)


async def test_a_message_id_is_published_once_even_after_it_was_acknowledged(bus: EventBus) -> None:
    consumer = await bus.consumer(spec())
    assert await bus.publish(STORED, b"x", message_id="same") is True
    await ack_all(await fetch_all(consumer, 1))

    again = await bus.publish(STORED, b"x", message_id="same")

    assert again is False
    assert await nothing_comes(consumer)


async def test_the_same_id_published_at_the_same_time_is_new_for_one_only(bus: EventBus) -> None:
    answers = await asyncio.gather(
        *(bus.publish(STORED, b"x", message_id="race") for _ in range(20))
    )

    assert sorted(answers) == [False] * 19 + [True]


async def test_fetch_returns_nothing_when_nothing_came_in_time(bus: EventBus) -> None:
    consumer = await bus.consumer(spec())

    started = time.monotonic()
    deliveries = await consumer.fetch(10, timeout_s=SHORT_S)

    assert list(deliveries) == []
    assert time.monotonic() - started < LONG_S


async def test_a_waiting_fetch_gets_a_message_at_once(bus: EventBus) -> None:
    consumer = await bus.consumer(spec())
    waiting = asyncio.create_task(consumer.fetch(10, timeout_s=60.0))
    await asyncio.sleep(0.1)  # let it wait, so that it is woken; right also without
    started = time.monotonic()

    await bus.publish(STORED, b"x", message_id="wake")
    deliveries = await waiting

    assert bodies(deliveries) == [b"x"]
    assert time.monotonic() - started < LONG_S / 3
    await ack_all(deliveries)


async def test_fetch_returns_what_is_there_without_waiting_for_more(bus: EventBus) -> None:
    consumer = await bus.consumer(spec())
    await publish(bus, 3)

    started = time.monotonic()
    deliveries = await consumer.fetch(100, timeout_s=60.0)

    assert 1 <= len(deliveries) <= 3
    assert time.monotonic() - started < LONG_S
    await ack_all(deliveries)


async def test_fetch_returns_no_more_than_asked_for(bus: EventBus) -> None:
    consumer = await bus.consumer(spec())
    await publish(bus, 10)

    deliveries = await consumer.fetch(4, timeout_s=LONG_S)

    assert 1 <= len(deliveries) <= 4
    await ack_all(deliveries)


async def test_what_is_acknowledged_does_not_come_again(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(ack_wait_s=SHORT_S))
    await publish(bus, 5)
    await ack_all(await fetch_all(consumer, 5))

    assert not await consumer.fetch(10, timeout_s=4 * SHORT_S)


async def test_what_is_not_answered_comes_again_with_the_next_attempt(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(ack_wait_s=SHORT_S))
    await publish(bus, 1)
    await fetch_all(consumer, 1)

    (again,) = await fetch_all(consumer, 1)
    (third,) = await fetch_all(consumer, 1)

    assert (again.attempt, third.attempt) == (2, 3)
    await third.ack()


async def test_a_nak_comes_again_after_its_delay_and_not_before(bus: EventBus) -> None:
    consumer = await bus.consumer(spec())
    await publish(bus, 1)
    (first,) = await fetch_all(consumer, 1)
    started = time.monotonic()

    await first.nak(delay_s=1.0)
    (again,) = await fetch_all(consumer, 1)

    assert time.monotonic() - started > 0.9
    assert again.attempt == 2
    await again.ack()


async def test_a_nak_without_delay_comes_again_at_once(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(ack_wait_s=60.0))
    await publish(bus, 1)
    (first,) = await fetch_all(consumer, 1)

    await first.nak(delay_s=0.0)
    (again,) = await fetch_all(consumer, 1)

    assert again.body == first.body
    await again.ack()


async def test_what_is_terminated_does_not_come_again(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(ack_wait_s=SHORT_S))
    await publish(bus, 1)
    (delivery,) = await fetch_all(consumer, 1)

    await delivery.term(reason="cannot be read")

    assert not await consumer.fetch(10, timeout_s=4 * SHORT_S)


async def test_in_progress_keeps_a_message_from_others_beyond_ack_wait(bus: EventBus) -> None:
    ack_wait_s = 1.5
    consumer = await bus.consumer(spec(ack_wait_s=ack_wait_s))
    await publish(bus, 1)
    (delivery,) = await fetch_all(consumer, 1)
    until = time.monotonic() + 2 * ack_wait_s

    came: list[Delivery] = []
    while time.monotonic() < until:
        await delivery.in_progress()
        came += await consumer.fetch(1, timeout_s=0.2)

    assert came == []
    await delivery.ack()


async def test_a_second_answer_changes_nothing(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(ack_wait_s=60.0))
    await publish(bus, 1)
    (delivery,) = await fetch_all(consumer, 1)

    await delivery.ack()
    await delivery.nak(delay_s=0.0)
    await delivery.term(reason="too late")
    await delivery.in_progress()

    assert await nothing_comes(consumer)


async def test_consumers_of_one_name_share_the_work(bus: EventBus) -> None:
    mine, yours = await bus.consumer(spec()), await bus.consumer(spec())
    await publish(bus, 40)

    async def take(consumer: Consumer, seen: list[bytes]) -> None:
        while deliveries := await consumer.fetch(1, timeout_s=2 * SHORT_S):
            seen += bodies(deliveries)
            await ack_all(deliveries)

    seen: tuple[list[bytes], list[bytes]] = ([], [])
    await asyncio.gather(take(mine, seen[0]), take(yours, seen[1]))

    assert sorted(seen[0] + seen[1]) == sorted(b"%d" % n for n in range(40))
    assert all(seen)


async def test_consumers_of_different_names_each_get_everything(bus: EventBus) -> None:
    await publish(bus, 5)

    first = await fetch_all(await bus.consumer(spec("indexer")), 5)
    second = await fetch_all(await bus.consumer(spec("archive")), 5)

    assert bodies(first) == bodies(second)
    await ack_all([*first, *second])


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        ((STORED,), {STORED}),
        (("dicom.instance.*.v1",), {STORED, CONFLICT}),
        (("dicom.retrieval.>",), {"dicom.retrieval.requested.v1"}),
        ((STORED, "dicom.dead.v1"), {STORED, "dicom.dead.v1"}),
        (("dicom.*",), set()),
    ],
)
async def test_a_consumer_gets_its_subjects_only(
    bus: EventBus, subjects: tuple[str, ...], expected: set[str]
) -> None:
    published = [STORED, CONFLICT, "dicom.retrieval.requested.v1", "dicom.dead.v1"]
    for subject in published:
        await bus.publish(subject, b"x", message_id=subject)
    consumer = await bus.consumer(spec("chooser", *subjects))

    deliveries = await fetch_all(consumer, len(expected))

    assert {delivery.subject for delivery in deliveries} == expected
    assert await nothing_comes(consumer)
    await ack_all(deliveries)


async def test_no_more_is_in_flight_than_allowed(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(max_in_flight=3))
    await publish(bus, 10)

    first = await fetch_all(consumer, 3)
    meanwhile = await consumer.fetch(10, timeout_s=SHORT_S)
    await ack_all(first)
    rest = await fetch_all(consumer, 3)

    assert list(meanwhile) == []
    assert set(bodies(first)).isdisjoint(bodies(rest))
    await ack_all(rest)


async def test_asking_for_more_than_may_be_in_flight_does_not_wait(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(max_in_flight=3))
    await publish(bus, 10)

    started = time.monotonic()
    deliveries = await consumer.fetch(10, timeout_s=60.0)

    assert 1 <= len(deliveries) <= 3
    assert time.monotonic() - started < LONG_S
    await ack_all(deliveries)


async def test_an_answer_makes_room_for_a_waiting_fetch(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(max_in_flight=1))
    await publish(bus, 2)
    (first,) = await fetch_all(consumer, 1)
    waiting = asyncio.create_task(consumer.fetch(1, timeout_s=60.0))
    await asyncio.sleep(0.1)

    await first.ack()
    (second,) = await asyncio.wait_for(waiting, LONG_S)

    assert second.body != first.body
    await second.ack()


async def test_the_position_survives_closing_and_opening(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await publish(bus, 4)
        await ack_all(await fetch_all(await bus.consumer(spec()), 2))

    async with open_bus() as bus:
        rest = await fetch_all(await bus.consumer(spec()), 2)

        assert bodies(rest) == [b"2", b"3"]
        await ack_all(rest)


async def test_duplicates_are_known_after_closing_and_opening(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.publish(STORED, b"x", message_id="kept")

    async with open_bus() as bus:
        assert await bus.publish(STORED, b"x", message_id="kept") is False


async def test_what_was_in_flight_at_closing_comes_again(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await publish(bus, 1)
        await fetch_all(await bus.consumer(spec(ack_wait_s=SHORT_S)), 1)

    async with open_bus() as bus:
        (again,) = await fetch_all(await bus.consumer(spec(ack_wait_s=SHORT_S)), 1)

        assert again.attempt == 2
        await again.ack()


async def test_many_publishers_at_once_lose_nothing(bus: EventBus) -> None:
    await publish(bus, 600)

    deliveries = await fetch_all(await bus.consumer(spec()), 600)

    assert {int(body) for body in bodies(deliveries)} == set(range(600))
    await asyncio.gather(*(delivery.ack() for delivery in deliveries))


async def test_a_cancelled_fetch_loses_nothing(bus: EventBus) -> None:
    consumer = await bus.consumer(spec(ack_wait_s=1.0))
    waiting = asyncio.create_task(consumer.fetch(10, timeout_s=60.0))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait([waiting])

    await publish(bus, 3)
    seen: set[bytes] = set()
    deadline = time.monotonic() + LONG_S
    while len(seen) < 3 and time.monotonic() < deadline:
        deliveries = await consumer.fetch(10, timeout_s=1.0)
        seen.update(bodies(deliveries))
        await ack_all(deliveries)

    assert seen == {b"0", b"1", b"2"}


async def test_an_open_bus_is_healthy_and_a_closed_one_is_not(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        assert await bus.healthy() is True

    assert await bus.healthy() is False


@pytest.mark.parametrize(
    "use",
    [
        lambda bus: bus.publish(STORED, b"x", message_id="late"),
        lambda bus: bus.consumer(spec()),
    ],
    ids=["publish", "consumer"],
)
async def test_a_closed_bus_is_unavailable(
    open_bus: OpenBus, use: Callable[[EventBus], Awaitable[object]]
) -> None:
    async with open_bus() as bus:
        pass

    with pytest.raises(BusUnavailable):
        await use(bus)


async def test_a_closed_consumer_does_not_fetch(bus: EventBus) -> None:
    consumer = await bus.consumer(spec())

    await consumer.close()

    with pytest.raises(BusUnavailable):
        await consumer.fetch(1, timeout_s=SHORT_S)
