"""Durable first, held second, acknowledged last; and the outbox when the bus is away."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.errors import (
    BusUnavailable,
    ObjectStoreFull,
    ObjectStoreUnavailable,
    Unavailable,
    Unreadable,
)
from dicomcore.events import InstanceStored, decode
from dicomcore.keys import INSTANCES, OUTBOX
from dicomcore.received import StoredInstance
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Announcer, Held, Lander, sweep_outbox
from tests.bus_double import Bus
from tests.instances import ROOT, encode, instance, received


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "objects")


@pytest.fixture
def bus() -> Bus:
    return Bus()


def lander(
    store: DirectoryStore, bus: Bus, *, bus_pause_s: float = 0.0, high_water: float | None = None
) -> Lander:
    announcer = Announcer(store, bus.publish, bus_pause_s=bus_pause_s)
    return Lander(store, announcer.announce, high_water=high_water)


def outbox(store: DirectoryStore) -> list[str]:
    return [stat.key for stat in store.list(OUTBOX)]


def objects(store: DirectoryStore) -> list[str]:
    return [stat.key for stat in store.list(INSTANCES)]


def announced(bus: Bus) -> list[InstanceStored]:
    return [decode(body, InstanceStored) for _subject, body in bus.messages]


def test_what_is_landed_is_what_was_received_after_a_header(
    store: DirectoryStore, bus: Bus
) -> None:
    stored = lander(store, bus).land(received(instance()))

    kept = store.get(str(stored.key))
    assert kept.endswith(encode(instance()))
    assert kept[128:132] == b"DICM"
    assert len(kept) == stored.size_bytes
    assert stored.created


def test_a_landed_instance_is_announced_with_what_a_consumer_needs(
    store: DirectoryStore, bus: Bus
) -> None:
    stored = lander(store, bus).land(received(instance()))

    ((subject, _body),) = bus.messages
    (event,) = announced(bus)
    assert subject == "dicom.instance.stored.v1"
    assert event.object_key == str(stored.key)
    assert event.sop_instance_uid == f"{ROOT}.3.1"
    assert event.sha256 == stored.sha256
    assert event.size_bytes == stored.size_bytes
    assert event.calling_ae_title == "TESTS"
    assert outbox(store) == []


def test_an_announcement_holds_no_patient_data(store: DirectoryStore, bus: Bus) -> None:
    lander(store, bus).land(received(instance()))

    ((_, body),) = bus.messages
    for secret in (b"MADE-UP", b"Made^Up", b"Plan 1"):
        assert secret not in body


def test_the_object_is_durable_before_it_is_announced(store: DirectoryStore) -> None:
    seen: list[bytes] = []

    def announce(stored: StoredInstance, _calling: str) -> None:
        seen.append(store.get(str(stored.key)))

    Lander(store, announce).land(received(instance()))

    assert [len(data) for data in seen] == [len(store.get(objects(store)[0]))]


def test_landing_again_is_one_object_and_announced_again(store: DirectoryStore, bus: Bus) -> None:
    first = lander(store, bus).land(received(instance()))
    again = lander(store, bus).land(received(instance()))

    assert (first.created, again.created) == (True, False)
    assert first.key == again.key
    assert objects(store) == [str(first.key)]
    assert len(bus.messages) == 2


def test_other_bytes_under_one_uid_are_both_kept(store: DirectoryStore, bus: Bus) -> None:
    one = lander(store, bus).land(received(instance(size_bytes=64)))
    other = lander(store, bus).land(received(instance(size_bytes=66)))

    assert one.key.ref == other.key.ref
    assert objects(store) == sorted([str(one.key), str(other.key)])


def test_with_the_store_away_nothing_is_announced(
    store: DirectoryStore, bus: Bus, tmp_path: Path
) -> None:
    (tmp_path / "objects").rename(tmp_path / "away")

    with pytest.raises(ObjectStoreUnavailable):
        lander(store, bus).land(received(instance()))

    assert bus.attempts == 0


def test_what_cannot_be_understood_leaves_nothing(store: DirectoryStore, bus: Bus) -> None:
    with pytest.raises(Unreadable):
        lander(store, bus).land(received(instance(), data=encode(instance())[:-1]))

    assert list(store.list("")) == []
    assert bus.attempts == 0


def test_above_the_high_water_mark_nothing_is_taken(tmp_path: Path, bus: Bus) -> None:
    store = DirectoryStore(tmp_path / "small", capacity_bytes=100_000)
    store.put("ballast", [bytes(60_000)])

    assert lander(store, bus, high_water=0.7).land(received(instance())).created
    with pytest.raises(ObjectStoreFull):
        lander(store, bus, high_water=0.5).land(received(instance(2)))

    assert len(objects(store)) == 1


def test_the_fill_ratio_is_not_asked_for_at_every_instance(tmp_path: Path, bus: Bus) -> None:
    class Counting(DirectoryStore):
        asked = 0

        def fill_ratio(self) -> float | None:
            self.asked += 1
            return super().fill_ratio()

    store = Counting(tmp_path / "objects")
    one = lander(store, bus, high_water=1.0)
    for number in range(20):
        one.land(received(instance(number)))

    assert store.asked < 5


# ── the bus is away ─────────────────────────────────────────────────────────────────────────


def test_with_the_bus_away_the_outbox_holds_the_announcement(
    store: DirectoryStore, bus: Bus
) -> None:
    bus.away = True

    stored = lander(store, bus).land(received(instance()))

    assert stored.created
    assert len(outbox(store)) == 1
    assert bus.messages == []


def test_the_sweeper_announces_in_order_what_waited_once_the_bus_is_back(
    store: DirectoryStore, bus: Bus
) -> None:
    moment = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n) for n in range(1000))
    announcer = Announcer(store, bus.publish, bus_pause_s=0, clock=lambda: next(moment))
    one = Lander(store, announcer.announce)
    bus.away = True
    for number in range(5):
        one.land(received(instance(number)))

    with pytest.raises(BusUnavailable):
        sweep_outbox(store, bus.publish)
    assert len(outbox(store)) == 5
    bus.away = False

    assert sweep_outbox(store, bus.publish) == 5
    assert [event.sop_instance_uid for event in announced(bus)] == [
        f"{ROOT}.3.{number}" for number in range(5)
    ]
    assert outbox(store) == []
    assert sweep_outbox(store, bus.publish) == 0


def test_with_bus_and_outbox_away_there_is_no_success(
    store: DirectoryStore, bus: Bus, tmp_path: Path
) -> None:
    bus.away = True

    def store_goes_away_after_the_object(stored: StoredInstance, calling: str) -> object:
        (tmp_path / "objects").rename(tmp_path / "away")
        return Announcer(store, bus.publish).announce(stored, calling)

    with pytest.raises(Unavailable):
        Lander(store, store_goes_away_after_the_object).land(received(instance()))


def test_a_bus_that_failed_is_left_alone_for_a_while(store: DirectoryStore, bus: Bus) -> None:
    bus.away = True
    one = lander(store, bus, bus_pause_s=3600)

    for number in range(10):
        one.land(received(instance(number)))

    assert bus.attempts == 1
    assert len(outbox(store)) == 10


def test_each_announcement_is_counted_by_who_holds_it(store: DirectoryStore, bus: Bus) -> None:
    held: list[Held] = []
    one = Lander(store, Announcer(store, bus.publish, bus_pause_s=0, observe=held.append).announce)

    one.land(received(instance(1)))
    bus.away = True
    one.land(received(instance(2)))

    assert held == [Held.BUS, Held.OUTBOX]


def test_a_bus_that_had_it_already_is_no_failure(store: DirectoryStore) -> None:
    held: list[Held] = []

    Lander(store, Announcer(store, lambda *_message: False, observe=held.append).announce).land(
        received(instance())
    )

    assert held == [Held.DUPLICATE]


def test_a_crash_between_publish_and_delete_announces_twice_under_one_id(
    store: DirectoryStore, bus: Bus
) -> None:
    bus.away = True
    lander(store, bus).land(received(instance()))
    bus.away = False

    class Crash(Exception):
        pass

    def publish_and_crash(subject: str, body: bytes, message_id: str) -> bool:
        bus.publish(subject, body, message_id)
        raise Crash

    with pytest.raises(Crash):
        sweep_outbox(store, publish_and_crash)

    assert sweep_outbox(store, bus.publish) == 1
    assert len(bus.messages) == 1
    assert bus.attempts == 3


def test_sweepers_at_once_lose_nothing(store: DirectoryStore, bus: Bus) -> None:
    bus.away = True
    one = lander(store, bus)
    for number in range(30):
        one.land(received(instance(number)))
    bus.away = False
    barrier = threading.Barrier(4)

    def sweep(_: int) -> int:
        barrier.wait(60)
        return sweep_outbox(store, bus.publish)

    with ThreadPoolExecutor(4) as pool:
        swept = sum(pool.map(sweep, range(4)))

    assert swept >= 30
    assert len(bus.messages) == 30
    assert outbox(store) == []


@pytest.mark.parametrize(
    "letter",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"subject":"s","message_id":"m"}',
        b'{"subject":1,"message_id":"m","event":"e"}',
    ],
)
def test_a_damaged_letter_holds_up_no_other(store: DirectoryStore, bus: Bus, letter: bytes) -> None:
    store.put(f"{OUTBOX}0-damaged.json", [letter])
    bus.away = True
    lander(store, bus).land(received(instance()))
    bus.away = False

    assert sweep_outbox(store, bus.publish) == 1
    assert outbox(store) == [f"{OUTBOX}0-damaged.json"]


def test_a_letter_names_subject_id_and_event_and_no_patient(
    store: DirectoryStore, bus: Bus
) -> None:
    bus.away = True
    lander(store, bus).land(received(instance()))

    (key,) = outbox(store)
    letter = json.loads(store.get(key))
    assert letter["subject"] == InstanceStored.TYPE
    assert decode(letter["event"].encode(), InstanceStored).sop_instance_uid == f"{ROOT}.3.1"
    assert letter["message_id"] == json.loads(letter["event"])["id"]
    assert "MADE-UP" not in key + json.dumps(letter)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=12))
def test_whatever_comes_and_goes_each_success_is_announced_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, bool]]
) -> None:
    store, bus = DirectoryStore(tmp_path_factory.mktemp("objects")), Bus()
    one = lander(store, bus)

    acknowledged = []
    for number, away in arrivals:
        bus.away = away
        acknowledged.append(str(one.land(received(instance(number))).key))
    bus.away = False
    sweep_outbox(store, bus.publish)

    assert sorted(event.object_key for event in announced(bus)) == sorted(acknowledged)
    assert objects(store) == sorted(set(acknowledged))


def test_many_threads_land_the_same_and_one_creates_it(store: DirectoryStore, bus: Bus) -> None:
    land = lander(store, bus).land
    barrier = threading.Barrier(8)

    def at_once(_: int) -> bool:
        barrier.wait(60)
        return land(received(instance())).created

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(at_once, range(8)))

    assert created.count(True) == 1
    assert len(bus.messages) == 8
