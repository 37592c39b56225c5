"""Announcements to index, on the embedded adapters."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from dicomcore.errors import BusUnavailable, IndexUnavailable, InvalidRequest, Rejected
from dicomcore.events import (
    DeadLetter,
    InstanceConflict,
    InstanceStored,
    InstanceUnreadable,
    decode,
)
from dicomcore.keys import OUTBOX
from dicomcore.ports import Delivery, IndexedInstance, UpsertOutcome
from dicomcore.received import StoredInstance
from dicomcore.uids import parse_instance_uid
from dicomio.landing import Announcer
from dicomio.sql_index import SqlIndex
from indexer.consume import ConsumeOptions, StoredConsumer
from indexer.metrics import Metrics
from indexer.reindex import reindex
from tests.indexer_world import (
    Interruptible,
    Landed,
    World,
    announce,
    content_of,
    embedded_parts,
    eventually,
    image,
    land,
    land_bytes,
    part10,
    plan,
    published,
    running,
    structure_set,
)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[World]:
    async with embedded_parts(tmp_path) as world:
        yield world


@pytest.fixture
async def world(parts: World) -> AsyncIterator[World]:
    async with running(parts):
        yield parts


async def test_an_announced_instance_is_indexed(world: World) -> None:
    landed = land(world.store, plan("1.2.3.30", structures="1.2.3.20"))

    await announce(world.bus, landed)
    await world.settled(1)

    [version] = await world.index.versions(landed.key.ref.sop_instance_uid)
    assert version.header is not None
    assert version.object_key == str(landed.key)
    assert version.header.patient_id == "P-1"
    [incoming] = await world.index.referenced_by("1.2.3.20")
    assert incoming.source.sop_instance_uid == "1.2.3.30"


async def test_other_bytes_under_one_uid_are_kept_and_told(world: World) -> None:
    first = land(world.store, image("1.2.3.10"), minute=1)
    second = land(world.store, image("1.2.3.10", note="again"), minute=2)

    await announce(world.bus, first)
    await world.settled(1)
    await announce(world.bus, second)
    [event] = await published(world.bus, InstanceConflict, 1)

    assert event.data == {
        "sop_instance_uid": "1.2.3.10",
        "object_keys": [str(first.key), str(second.key)],
    }
    assert (await world.index.counts()).conflicts == 1


@pytest.mark.parametrize("body", [b"", b"garbage" * 999, b"\0" * 128 + b"DICM" + b"\xff" * 500])
async def test_garbage_is_marked_and_told_and_the_queue_goes_on(world: World, body: bytes) -> None:
    garbage = land_bytes(world.store, "1.2.3.66", body)
    good = land(world.store, image("1.2.3.10"))

    await announce(world.bus, garbage)
    await announce(world.bus, good)
    await world.settled(2)

    counts = await world.index.counts()
    assert (counts.instances, counts.unreadable) == (2, 1)
    [marked] = await world.index.versions(parse_instance_uid("1.2.3.66"))
    [event] = await published(world.bus, InstanceUnreadable, 1)
    assert event.data == {"object_key": str(garbage.key), "problem": marked.problem}
    assert marked.problem
    assert world.store.get(str(garbage.key)) == body
    assert world.metric("indexer_unreadable_total") == 1


async def test_an_object_under_the_key_of_another_is_marked(world: World) -> None:
    stray = land_bytes(world.store, "1.2.3.66", part10(image("1.2.3.10")))

    await announce(world.bus, stray)
    await world.settled(1)

    [marked] = await world.index.versions(parse_instance_uid("1.2.3.66"))
    assert marked.header is None
    assert "identity" in marked.problem


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"specversion": "1.0"}', b"\xff\xfe", b"[" * 10_000]
)
async def test_a_message_that_is_no_event_is_dead(world: World, body: bytes) -> None:
    await world.bus.publish(InstanceStored.TYPE, body, message_id="bad")
    [event] = await published(world.bus, DeadLetter, 1)

    assert event.data["original_subject"] == InstanceStored.TYPE
    assert base64.b64decode(str(event.data["original_body"])) == body
    await world.settled(1)
    assert world.metric("indexer_deliveries_total", answer="term") == 1


async def test_an_event_that_contradicts_itself_is_dead(world: World) -> None:
    landed = land(world.store, image("1.2.3.10"))
    forged = Landed(landed.key, landed.event.replace(b'"1.2.3.10"', b'"1.2.3.11"'))

    await announce(world.bus, forged)
    await published(world.bus, DeadLetter, 1)

    assert await world.instances() == 0


async def test_store_down_defers_and_later_succeeds(world: World) -> None:
    landed = land(world.store, image("1.2.3.10"))
    world.store.is_away = True

    await announce(world.bus, landed)
    await world.store.refused.wait()
    await eventually(lambda: _holds(world.metric("indexer_deliveries_total", answer="nak") >= 1))
    assert await world.instances() == 0
    world.store.is_away = False
    await world.settled(1)

    assert await world.instances() == 1


async def test_the_sweeper_announces_what_waited_in_the_outbox(world: World) -> None:
    landed = land(world.store, image("1.2.3.10"))

    def bus_away(_subject: str, _body: bytes, _message_id: str) -> bool:
        raise BusUnavailable("away")

    announcer = Announcer(world.store, bus_away)
    await asyncio.to_thread(announcer.announce, _stored(landed))
    await world.settled(1)

    assert await world.instances() == 1
    await eventually(lambda: _holds(not list(world.store.list(OUTBOX))))
    assert world.metric("indexer_outbox_announced_total") >= 1


async def test_stop_finishes_the_batch_and_a_restart_goes_on(tmp_path: Path) -> None:
    async with embedded_parts(tmp_path) as world, running(world):
        await announce(world.bus, land(world.store, image("1.2.3.10")))
        await world.settled(1)
    async with embedded_parts(tmp_path) as world:
        await announce(world.bus, land(world.store, image("1.2.3.11")))
        async with running(world):
            await world.settled(1)

        assert await world.instances() == 2
        assert world.metric("indexer_instances_total", outcome="new") == 1


async def test_reindex_makes_the_index_that_events_made(world: World, tmp_path: Path) -> None:
    landed = [
        land(world.store, image("1.2.3.10")),
        land(world.store, image("1.2.3.10", note="again")),
        land(world.store, structure_set("1.2.3.20")),
        land(world.store, plan("1.2.3.30", structures="1.2.3.20")),
        land(world.store, image("1.2.3.12", patient_id="P-2")),
        land_bytes(world.store, "1.2.3.66", b"garbage"),
    ]
    world.store.put("instances/not/an/instance", [b"x"])
    for one in landed:
        await announce(world.bus, one)
    await world.settled(len(landed))
    rebuilt = await SqlIndex.open(f"sqlite:///{tmp_path}/rebuilt.db")

    done = await reindex(world.store, rebuilt)

    uids = [one.uid for one in landed] + ["1.2.3.20"]
    assert await content_of(rebuilt, uids) == await content_of(world.index, uids)
    assert (done.listed, done.indexed, done.unreadable, done.skipped) == (7, 6, 1, 1)
    await rebuilt.close()


async def test_reindex_with_clear_forgets_what_is_gone(parts: World) -> None:
    gone = land(parts.store, image("1.2.3.10"))
    land(parts.store, image("1.2.3.11"))
    await reindex(parts.store, parts.index)
    parts.store.delete(str(gone.key))

    await reindex(parts.store, parts.index)
    kept = await parts.instances()
    await reindex(parts.store, parts.index, clear=True)

    assert kept == 2
    assert await parts.instances() == 1


async def test_one_object_that_trips_us_does_not_end_the_rebuild(parts: World) -> None:
    tripping = land(parts.store, image("1.2.3.10"))
    land(parts.store, image("1.2.3.11"))

    class Tripping(Interruptible):
        def get(self, key: str) -> bytes:
            if key == str(tripping.key):
                raise RuntimeError("nobody has foreseen this")
            return super().get(key)

    done = await reindex(Tripping(parts.store), parts.index)

    assert (done.indexed, done.skipped) == (1, 1)


# ── one delivery at a time ──────────────────────────────────────────────────────────────────


class Handed:
    """A delivery that remembers how it was answered."""

    def __init__(self, body: bytes, attempt: int = 1) -> None:
        self.subject = InstanceStored.TYPE
        self.body = body
        self.attempt = attempt
        self.answers: list[str] = []

    async def ack(self) -> None:
        self.answers.append("ack")

    async def nak(self, *, delay_s: float) -> None:
        assert delay_s > 0
        self.answers.append("nak")

    async def term(self, *, reason: str) -> None:
        assert reason
        self.answers.append("term")

    async def in_progress(self) -> None:
        assert not self.answers
        self.answers.append("in_progress")


class Refusing:
    """An index that refuses some instances, or is away."""

    def __init__(self, index: SqlIndex, refused: dict[str, Exception]) -> None:
        self._index = index
        self.refused = refused

    async def upsert(self, instances: Sequence[IndexedInstance]) -> Sequence[UpsertOutcome]:
        for one in instances:
            if one.ref.sop_instance_uid in self.refused:
                raise self.refused[one.ref.sop_instance_uid]
        return await self._index.upsert(instances)

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)


def consumer_on(world: World, index: object = None, **options: float) -> StoredConsumer:
    return StoredConsumer(
        world.store,
        world.bus,
        index or world.index,  # type: ignore[arg-type]  # delegates what it does not change
        Metrics(CollectorRegistry()),
        replace(ConsumeOptions(), **options),  # type: ignore[arg-type]  # floats only
    )


async def test_a_missing_object_is_asked_for_again_and_then_dead(parts: World) -> None:
    landed = land(parts.store, image("1.2.3.10"))
    parts.store.delete(str(landed.key))
    early, late = Handed(landed.event, attempt=1), Handed(landed.event, attempt=6)

    await consumer_on(parts).handle([early, late])

    assert (early.answers, late.answers) == (["nak"], ["term"])
    assert len(await published(parts.bus, DeadLetter, 1)) == 1


async def test_an_index_that_is_away_defers_the_batch(parts: World) -> None:
    handed = [Handed(land(parts.store, image(f"1.2.3.1{n}")).event) for n in range(3)]
    assert isinstance(parts.index, SqlIndex)
    index = Refusing(parts.index, {"1.2.3.11": IndexUnavailable("away")})

    await consumer_on(parts, index).handle(handed)

    assert [one.answers for one in handed] == [["nak"]] * 3
    assert await parts.instances() == 0


@pytest.mark.parametrize("error", [Rejected("never"), ZeroDivisionError("a fault of ours")])
async def test_one_refused_instance_does_not_take_the_batch_with_it(
    parts: World, error: Exception
) -> None:
    handed = [Handed(land(parts.store, image(f"1.2.3.1{n}")).event, attempt=6) for n in range(3)]
    assert isinstance(parts.index, SqlIndex)

    await consumer_on(parts, Refusing(parts.index, {"1.2.3.11": error})).handle(handed)

    assert [one.answers for one in handed] == [["ack"], ["term"], ["ack"]]
    assert await parts.instances() == 2


async def test_a_conflict_whose_event_was_lost_in_a_crash_is_told_on_redelivery(
    parts: World,
) -> None:
    first = land(parts.store, image("1.2.3.10"), minute=1)
    second = land(parts.store, image("1.2.3.10", note="again"), minute=2)
    await reindex(parts.store, parts.index)  # written, but nothing was published
    redelivered = Handed(second.event, attempt=2)

    await consumer_on(parts).handle([redelivered])

    [event] = await published(parts.bus, InstanceConflict, 1)
    assert set(event.data["object_keys"]) == {str(first.key), str(second.key)}  # type: ignore[call-overload]
    assert redelivered.answers == ["ack"]


async def test_a_bus_that_is_away_keeps_the_conflict_for_later(parts: World) -> None:
    land(parts.store, image("1.2.3.10"), minute=1)
    second = Handed(land(parts.store, image("1.2.3.10", note="again"), minute=2).event)
    await reindex(parts.store, parts.index)
    consumer = consumer_on(parts)
    await parts.bus.close()

    second.attempt = 2
    await consumer.handle([second])

    assert second.answers == ["nak"]


async def test_a_dead_letter_that_the_bus_refuses_ends_the_message(parts: World) -> None:
    class Narrow:
        async def publish(self, subject: str, body: bytes, *, message_id: str) -> bool:
            raise InvalidRequest("too large")

    bad = Handed(b"no event")
    metrics = Metrics(CollectorRegistry())
    consumer = StoredConsumer(parts.store, Narrow(), parts.index, metrics, ConsumeOptions())  # type: ignore[arg-type]  # publishes only

    await consumer.handle([bad])

    assert bad.answers == ["term"]


async def test_a_slow_batch_says_that_it_is_alive(parts: World) -> None:
    handed = Handed(land(parts.store, image("1.2.3.10")).event)

    class Slow(Refusing):
        async def upsert(self, instances: Sequence[IndexedInstance]) -> Sequence[UpsertOutcome]:
            await eventually(lambda: _holds("in_progress" in handed.answers))
            handed.answers.clear()
            return await super().upsert(instances)

    assert isinstance(parts.index, SqlIndex)
    await consumer_on(parts, Slow(parts.index, {}), ack_wait_s=0.3).handle([handed])

    assert handed.answers == ["ack"]


# ── any order, any repetition ───────────────────────────────────────────────────────────────


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(orders=st.data())
async def test_any_order_and_repetition_of_events_is_the_same_index(
    parts: World, orders: st.DataObject
) -> None:
    landed = [
        land(parts.store, image("1.2.3.10"), minute=1),
        land(parts.store, image("1.2.3.10", note="again"), minute=2),
        land(parts.store, image("1.2.3.10", note="and again", patient_id="P-2"), minute=3),
        land(parts.store, structure_set("1.2.3.20")),
        land(parts.store, plan("1.2.3.30", structures="1.2.3.20")),
        land(parts.store, plan("1.2.3.30", structures="1.2.3.21"), minute=5),
        land_bytes(parts.store, "1.2.3.66", b"garbage"),
    ]
    uids = [one.uid for one in landed] + ["1.2.3.20", "1.2.3.21"]
    consumer = consumer_on(parts)
    contents = []

    for _ in range(2):
        again = orders.draw(st.lists(st.sampled_from(landed), max_size=5))
        order = orders.draw(st.permutations(landed + again))
        size = orders.draw(st.integers(1, len(order)))
        await parts.index.clear()
        for start in range(0, len(order), size):
            batch: list[Delivery] = [Handed(one.event) for one in order[start : start + size]]
            await consumer.handle(batch)
        contents.append(await content_of(parts.index, uids))

    assert contents[0] == contents[1]


async def _holds(condition: bool) -> bool:
    return condition


def _stored(landed: Landed) -> StoredInstance:
    event = decode(landed.event, InstanceStored)
    return StoredInstance(
        key=landed.key,
        sop_class_uid=event.sop_class_uid,
        transfer_syntax_uid=event.transfer_syntax_uid,
        sha256=event.sha256,
        size_bytes=event.size_bytes,
        stored_at=datetime(2024, 1, 1, tzinfo=UTC),
        created=True,
    )
