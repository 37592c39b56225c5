"""store-scp as it is deployed, on a real S3 server and a real NATS server."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from uuid import uuid4

import aiohttp
import pytest

from dicomcore.errors import InvalidRequest
from dicomcore.events import InstanceStored, decode
from dicomcore.keys import INSTANCES, OUTBOX
from dicomcore.ports import ConsumerSpec, EventBus
from dicomio.bridge import Bridge
from dicomio.landing import sweep_outbox
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Options, S3Store
from store_scp.service import running
from store_scp.settings import Settings
from tests.instances import encode, instance
from tests.integration.scp_world import PLANS, send
from tests.peers.raw_scu import RawScu
from tests.servers.nats import NatsServer
from tests.servers.weed import Weed

pytestmark = pytest.mark.server
DEADLINE_S = 60.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 - is refused, or never bound
QUICK = {"port": 0, "http_port": 0, "grace_s": 5.0, "publish_timeout_s": 1.0}


def settings(**changes: object) -> Settings:
    return Settings(**{**QUICK, **changes})  # type: ignore[arg-type]


def send_instances(port: int, numbers: range) -> list[int]:
    with RawScu(port, PLANS) as scu:
        statuses = [send(scu, instance(number)) for number in numbers]
        scu.release()
    return statuses


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def announced(bus: EventBus, count: int) -> set[str]:
    """Return the keys that the next `count` announcements name."""
    consumer = await bus.consumer(ConsumerSpec("service-test", (InstanceStored.TYPE,)))
    keys: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(keys) < count:
            for delivery in await consumer.fetch(count, timeout_s=5):
                keys.append(decode(delivery.body, InstanceStored).object_key)
                await delivery.ack()
    await consumer.close()
    return set(keys)


@dataclass
class Servers:
    weed: Weed
    nats: NatsServer
    s3: S3Options

    @property
    def nats_options(self) -> NatsOptions:
        return NatsOptions(servers=(self.nats.url,), reconnect_wait_s=0.05)


@pytest.fixture
def servers(own_weed: Weed, own_nats_server: NatsServer) -> Servers:
    """Servers that the test may stop."""
    return Servers(own_weed, own_nats_server, own_weed.options("service"))


@pytest.fixture
def lasting(weed: Weed, own_nats_server: NatsServer) -> Servers:
    """An object store that the test leaves running, with a bucket of its own."""
    return Servers(weed, own_nats_server, weed.options(f"service-{uuid4().hex}"))


async def test_what_is_sent_is_in_the_bucket_and_on_the_stream(lasting: Servers) -> None:
    async with running(settings(), lasting.s3, lasting.nats_options) as service:
        statuses = await asyncio.to_thread(send_instances, service.dicom_port, range(10))
        ready, _ = await get(f"{service.http_url}/readyz")
        alive, _ = await get(f"{service.http_url}/livez")
        _, metrics = await get(f"{service.http_url}/metrics")

    assert statuses == [0x0000] * 10
    assert (ready, alive) == (200, 200)
    assert 'store_scp_instances_total{status="0x0000"} 10.0' in metrics
    assert 'store_scp_announcements_total{held="bus"} 10.0' in metrics
    store = S3Store(lasting.s3)
    kept = {stat.key: store.get(stat.key) for stat in store.list(INSTANCES)}
    for number in range(10):
        assert any(data.endswith(encode(instance(number))) for data in kept.values())
    for key, data in kept.items():
        assert hashlib.sha256(data).hexdigest()[:16] in key
    bus = await NatsBus.open(lasting.nats_options)
    assert await announced(bus, 10) == set(kept)
    await bus.close()
    store.close()


async def test_with_nats_away_success_is_held_by_the_outbox_and_announced_when_it_returns(
    lasting: Servers,
) -> None:
    store = S3Store(lasting.s3)
    async with running(settings(), lasting.s3, lasting.nats_options) as service:
        assert await asyncio.to_thread(send_instances, service.dicom_port, range(2)) == [0, 0]
        lasting.nats.kill()
        statuses = await asyncio.to_thread(send_instances, service.dicom_port, range(2, 6))
        assert statuses == [0x0000] * 4
        assert len(list(store.list(OUTBOX))) == 4
        ready, _ = await get(f"{service.http_url}/readyz")
        assert ready == 200  # instances are taken all the same
        lasting.nats.start()

    bus = await NatsBus.open(lasting.nats_options)
    bridge = Bridge(asyncio.get_running_loop())

    def publish(subject: str, body: bytes, message_id: str) -> bool:
        return bridge.call(bus.publish(subject, body, message_id=message_id), 10)

    assert await bridge.run(sweep_outbox, store, publish) == 4
    assert await announced(bus, 6) == {stat.key for stat in store.list(INSTANCES)}
    assert list(store.list(OUTBOX)) == []
    await bridge.close()
    await bus.close()
    store.close()


async def test_with_the_object_store_away_the_sender_is_told_to_try_again_and_can(
    servers: Servers,
) -> None:
    async with running(settings(), servers.s3, servers.nats_options) as service:
        assert await asyncio.to_thread(send_instances, service.dicom_port, range(1)) == [0]
        servers.weed.stop()
        refused = await asyncio.to_thread(send_instances, service.dicom_port, range(1, 3))
        ready, why = await get(f"{service.http_url}/readyz")
        await asyncio.to_thread(servers.weed.start)
        taken = await asyncio.to_thread(send_instances, service.dicom_port, range(1, 3))

    assert refused == [0xA700] * 2
    assert ready == 503
    assert '"object_store":"unavailable"' in why.replace(" ", "")
    assert taken == [0x0000] * 2
    store = S3Store(servers.s3)
    assert len(list(store.list(INSTANCES))) == 3
    store.close()


async def test_it_starts_before_its_servers_and_serves_when_they_come(servers: Servers) -> None:
    servers.weed.stop()
    servers.nats.stop()
    async with running(settings(), servers.s3, servers.nats_options) as service:
        refused = await asyncio.to_thread(send_instances, service.dicom_port, range(1))
        await asyncio.to_thread(servers.weed.start)
        servers.nats.start()

        async with asyncio.timeout(DEADLINE_S):  # the bucket is made once the store is there
            while await asyncio.to_thread(send_instances, service.dicom_port, range(1)) != [0]:
                await asyncio.sleep(0.1)

    assert refused == [0xA700]


async def test_above_the_high_water_mark_instances_are_refused(lasting: Servers) -> None:
    s3 = lasting.weed.options(lasting.s3.bucket, capacity_bytes=1_000)
    async with running(settings(high_water=0.5), s3, lasting.nats_options) as service:
        statuses = await asyncio.to_thread(send_instances, service.dicom_port, range(3))

    assert statuses[-1] == 0xA700


async def test_http_beyond_loopback_needs_a_token(lasting: Servers) -> None:
    with pytest.raises(InvalidRequest):
        async with running(settings(http_host=EVERYWHERE), lasting.s3, lasting.nats_options):
            pytest.fail("it must not start")
