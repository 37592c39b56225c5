"""Servers are killed, hang, forget; processes die: what was acknowledged is never lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import nats
import pytest

from dicomcore.errors import BusUnavailable, KeyValueUnavailable, Unavailable
from dicomcore.ports import Consumer, ConsumerSpec, EventBus
from dicomio.local_bus import LocalBus
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.nats_kv import NatsKeyValue
from dicomio.streams import DICOM
from tests.servers.nats import NatsServer

pytestmark = pytest.mark.faults
server = pytest.mark.server

STORED = "dicom.instance.stored.v1"
ALL = ConsumerSpec("indexer", ("dicom.>",), ack_wait_s=2.0)
LONG_S = 60.0
T = TypeVar("T")


def options(
    nats_server: NatsServer, *, connect_timeout_s: float = 10.0, request_timeout_s: float = 3.0
) -> NatsOptions:
    return NatsOptions(
        servers=(nats_server.url,),
        connect_timeout_s=connect_timeout_s,
        request_timeout_s=request_timeout_s,
        reconnect_wait_s=0.05,
    )


async def eventually(use: Callable[[], Awaitable[T]]) -> T:
    """Try again while it is unavailable, as every caller has to."""
    deadline = time.monotonic() + LONG_S
    while True:
        try:
            return await use()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def everything(consumer: Consumer, expected: set[bytes]) -> set[bytes]:
    """Fetch and acknowledge until all that is expected has come."""
    seen: set[bytes] = set()
    deadline = time.monotonic() + LONG_S
    while not expected <= seen and time.monotonic() < deadline:
        for delivery in await eventually(lambda: consumer.fetch(100, timeout_s=1.0)):
            seen.add(delivery.body)
            await delivery.ack()
    return seen


@server
@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_publishing_and_consuming_through_a_restart_loses_nothing(
    own_nats_server: NatsServer, end: str
) -> None:
    bus = await NatsBus.open(options(own_nats_server))
    consumer = await bus.consumer(ALL)
    bodies = {b"%d" % n for n in range(200)}
    half = asyncio.Event()

    async def publish_all() -> None:
        for n in range(200):
            await eventually(
                lambda n=n: bus.publish(STORED, b"%d" % n, message_id=f"{n}")  # type: ignore[misc]
            )
            if n == 100:
                half.set()

    publishing = asyncio.create_task(publish_all())
    consuming = asyncio.create_task(everything(consumer, bodies))
    await half.wait()
    await asyncio.to_thread(getattr(own_nats_server, end))
    await asyncio.to_thread(own_nats_server.start)
    await publishing
    seen = await consuming
    await bus.close()

    assert seen == bodies


@server
async def test_a_server_that_is_away_is_unavailable_at_once_and_healthy_again_after(
    own_nats_server: NatsServer,
) -> None:
    bus = await NatsBus.open(options(own_nats_server))
    consumer = await bus.consumer(ALL)
    assert await bus.healthy() is True

    own_nats_server.kill()
    started = time.monotonic()
    with pytest.raises(BusUnavailable):
        await bus.publish(STORED, b"x", message_id="away")
    with pytest.raises(BusUnavailable):
        await consumer.fetch(10, timeout_s=0.5)
    healthy_while_away = await bus.healthy()
    waited_s = time.monotonic() - started
    own_nats_server.start()
    await eventually(lambda: bus.publish(STORED, b"x", message_id="back"))
    seen = await everything(consumer, {b"x"})
    healthy_after = await bus.healthy()
    await bus.close()

    assert seen == {b"x"}
    assert (healthy_while_away, healthy_after) == (False, True)
    assert waited_s < 15


@server
async def test_a_server_that_hangs_is_unavailable_within_the_time_out(
    own_nats_server: NatsServer,
) -> None:
    patience = options(own_nats_server, request_timeout_s=1.0)
    bus = await eventually(lambda: NatsBus.open(patience))
    kv = await eventually(lambda: NatsKeyValue.open(patience, "jobs"))
    consumer = await bus.consumer(ALL)
    revision = await kv.create("job-1", b"a")

    own_nats_server.pause()
    try:
        started = time.monotonic()
        with pytest.raises(BusUnavailable):
            await bus.publish(STORED, b"x", message_id="hang")
        with pytest.raises(BusUnavailable):
            await consumer.fetch(10, timeout_s=0.5)
        for use in (kv.get("job-1"), kv.update("job-1", b"b", revision=revision), kv.keys()):
            with pytest.raises(KeyValueUnavailable):
                await use
        waited_s = time.monotonic() - started
    finally:
        own_nats_server.resume()
    # it may have arrived all the same, so the answer may be "known": the same ID does no harm
    await eventually(lambda: bus.publish(STORED, b"x", message_id="hang"))
    seen = await everything(consumer, {b"x"})
    value = (await eventually(lambda: kv.get("job-1"))).value
    await bus.close()
    await kv.close()

    assert waited_s < 30
    assert seen == {b"x"}
    assert value in (b"a", b"b")


@server
async def test_a_message_that_timed_out_and_is_sent_again_comes_once(
    own_nats_server: NatsServer,
) -> None:
    patience = options(own_nats_server, request_timeout_s=1.0)
    bus = await eventually(lambda: NatsBus.open(patience))
    consumer = await bus.consumer(ConsumerSpec("indexer", ("dicom.>",)))
    own_nats_server.pause()
    with pytest.raises(BusUnavailable):
        await bus.publish(STORED, b"x", message_id="once")
    own_nats_server.resume()

    await eventually(lambda: bus.publish(STORED, b"x", message_id="once"))
    first = await eventually(lambda: consumer.fetch(10, timeout_s=5.0))
    second = await consumer.fetch(10, timeout_s=0.3)
    await bus.close()

    assert [delivery.body for delivery in (*first, *second)] == [b"x"]


@server
async def test_an_ack_given_while_the_server_is_away_arrives_when_it_returns(
    own_nats_server: NatsServer,
) -> None:
    bus = await NatsBus.open(options(own_nats_server))
    consumer = await bus.consumer(ConsumerSpec("indexer", ("dicom.>",), ack_wait_s=3.0))
    await bus.publish(STORED, b"x", message_id="one")
    (delivery,) = await consumer.fetch(1, timeout_s=5.0)

    own_nats_server.stop()
    while bus._connection.connected:  # an ack that is sent into a dying connection may be lost
        await asyncio.sleep(0.01)
    await delivery.ack()
    own_nats_server.start()
    again = await eventually(lambda: consumer.fetch(1, timeout_s=4.0))
    await bus.close()

    assert list(again) == []


@server
async def test_a_consumer_that_was_deleted_is_made_again(own_nats_server: NatsServer) -> None:
    bus = await NatsBus.open(options(own_nats_server))
    consumer = await bus.consumer(ALL)
    await bus.publish(STORED, b"x", message_id="one")
    admin = await nats.connect(own_nats_server.url)
    await admin.jetstream().delete_consumer(DICOM.name, ALL.durable)
    await admin.close()

    seen = await everything(consumer, {b"x"})
    await bus.close()

    assert seen == {b"x"}


@server
async def test_a_stream_that_was_deleted_is_made_again(own_nats_server: NatsServer) -> None:
    bus = await NatsBus.open(options(own_nats_server))
    consumer = await bus.consumer(ALL)
    admin = await nats.connect(own_nats_server.url)
    await admin.jetstream().delete_stream(DICOM.name)
    await admin.close()

    await eventually(lambda: bus.publish(STORED, b"x", message_id="one"))
    seen = await everything(consumer, {b"x"})
    await bus.close()

    assert seen == {b"x"}


@server
async def test_a_server_that_comes_later_is_used_from_then_on(own_nats_server: NatsServer) -> None:
    own_nats_server.stop()
    impatient = options(own_nats_server, connect_timeout_s=0.5, request_timeout_s=0.5)

    with pytest.raises(BusUnavailable):
        await NatsBus.open(impatient)
    bus = await NatsBus.open(impatient, required=False)
    kv = await NatsKeyValue.open(impatient, "jobs", required=False)
    with pytest.raises(BusUnavailable):
        await bus.publish(STORED, b"x", message_id="early")
    with pytest.raises(KeyValueUnavailable):
        await kv.get("job-1")
    own_nats_server.start()
    published = await eventually(lambda: bus.publish(STORED, b"x", message_id="late"))
    revision = await eventually(lambda: kv.create("job-1", b"a"))
    await bus.close()
    await kv.close()

    assert published is True
    assert revision > 0


@server
async def test_closing_while_the_server_is_away_is_no_error(own_nats_server: NatsServer) -> None:
    bus = await NatsBus.open(options(own_nats_server))
    kv = await NatsKeyValue.open(options(own_nats_server), "jobs")
    await bus.consumer(ALL)
    own_nats_server.kill()
    impatient = options(own_nats_server, connect_timeout_s=0.5)
    never = await NatsBus.open(impatient, required=False)

    for adapter in (bus, kv, never):
        await adapter.close()
        await adapter.close()

    assert await bus.healthy() is False


@server
async def test_a_change_written_around_a_restart_is_seen(own_nats_server: NatsServer) -> None:
    reader = await NatsKeyValue.open(options(own_nats_server), "jobs")
    writer = await NatsKeyValue.open(options(own_nats_server), "jobs")
    revision = await writer.create("job-1", b"a")
    waiting = asyncio.create_task(
        eventually(lambda: reader.changed("job-1", since=revision, timeout_s=LONG_S))
    )
    await asyncio.sleep(0.1)

    own_nats_server.kill()
    own_nats_server.start()
    await eventually(lambda: writer.update("job-1", b"b", revision=revision))
    entry = await waiting
    await reader.close()
    await writer.close()

    assert entry is not None
    assert entry.value == b"b"


@server
async def test_opening_brings_the_stream_up_to_date_and_keeps_what_an_operator_set(
    own_nats_server: NatsServer,
) -> None:
    bus = await NatsBus.open(options(own_nats_server))
    await bus.close()
    admin = await nats.connect(own_nats_server.url)
    present = (await admin.jetstream().stream_info(DICOM.name)).config
    await admin.jetstream().update_stream(present.evolve(max_bytes=10**8, max_age=3600))

    bus = await NatsBus.open(options(own_nats_server))
    await bus.close()
    config = (await admin.jetstream().stream_info(DICOM.name)).config
    await admin.close()

    assert (config.max_bytes, config.max_age) == (10**8, NatsOptions().max_age_s)


PUBLISHER = """
import asyncio, sys
from pathlib import Path
from dicomio.local_bus import LocalBus

async def publish(bus, worker):
    for n in range(10**6):
        body = f"{worker}-{n}"
        await bus.publish("dicom.instance.stored.v1", body.encode(), message_id=body)
        print(body, flush=True)  # only after it was acknowledged

async def main():
    bus = await LocalBus.open(Path(sys.argv[1]))
    await asyncio.gather(*(publish(bus, worker) for worker in range(8)))

asyncio.run(main())
"""


def publisher(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PUBLISHER, path], stdout=subprocess.PIPE)


def acknowledged_until_killed(path: Path, lines: int) -> set[bytes]:
    """Let another process publish, kill it after so many lines, return all it was told are held."""
    with publisher(path) as process:
        assert process.stdout is not None
        out = [process.stdout.readline() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        out += process.stdout.readlines()
    return {line.strip() for line in out if line.endswith(b"\n")}


@pytest.mark.parametrize("lines", [1, 57, 400])
async def test_a_publisher_that_is_killed_loses_nothing_that_was_acknowledged(
    tmp_path: Path, lines: int
) -> None:
    path = tmp_path / "bus.sqlite"

    acknowledged = await asyncio.to_thread(acknowledged_until_killed, path, lines)
    bus: EventBus = await LocalBus.open(path)
    seen = await everything(await bus.consumer(ALL), acknowledged)
    await bus.close()

    assert len(acknowledged) >= lines
    assert acknowledged <= seen


async def test_messages_of_another_process_on_the_same_file_arrive(tmp_path: Path) -> None:
    path = tmp_path / "bus.sqlite"
    bus = await LocalBus.open(path)
    consumer = await bus.consumer(ALL)
    waiting = asyncio.create_task(consumer.fetch(1, timeout_s=LONG_S))

    acknowledged = await asyncio.to_thread(acknowledged_until_killed, path, 100)
    (first,) = await waiting
    await first.ack()
    seen = await everything(consumer, acknowledged - {first.body})
    await bus.close()

    assert acknowledged <= seen | {first.body}
