"""kill -9 of the store-scp process at random moments: whatever was answered Success is in the store."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

import pytest

from dicomcore.events import InstanceStored, decode
from dicomcore.keys import INSTANCES, OUTBOX
from dicomcore.ports import ConsumerSpec
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Store
from tests.instances import encode, instance
from tests.integration.scp_world import PLANS, send
from tests.peers.processes import wait_until
from tests.peers.raw_scu import Aborted, RawScu, Rejected
from tests.servers.nats import NatsServer
from tests.servers.ports import free_ports
from tests.servers.weed import ACCESS_KEY, SECRET_KEY, Weed

INSTANCES_SENT = 300
KILLS = 5


class Process:
    """The real entry point, with its environment."""

    def __init__(self, weed: Weed, nats: NatsServer, bucket: str, folder: Path) -> None:
        self.port, self.http_port = free_ports(2)
        self._environment = {
            "PATH": os.environ["PATH"],
            "STORE_SCP_PORT": str(self.port),
            "STORE_SCP_HTTP_PORT": str(self.http_port),
            "STORE_SCP_GRACE_S": "5",
            "STORE_SCP_PUBLISH_TIMEOUT_S": "2",
            "S3_ENDPOINT": weed.endpoint,
            "S3_BUCKET": bucket,
            "S3_ACCESS_KEY": ACCESS_KEY,
            "S3_SECRET_KEY": SECRET_KEY,
            "S3_SECURE": "false",
            "NATS_SERVERS": nats.url,
        }
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [Path(sysconfig.get_path("scripts")) / "store-scp"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def terminate(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def connect(self) -> RawScu:
        """Open an association as soon as the process accepts one."""
        opened: list[RawScu] = []

        def try_it() -> bool:
            process = self._process
            if process is not None and process.poll() is not None:
                # unless it is one that is being killed: it must not end by itself
                assert process is not self._process, self.log()
            try:
                opened.append(RawScu(self.port, PLANS))
            except (OSError, Aborted, Rejected):
                return False
            return True

        wait_until(try_it, what="store-scp accepts associations")
        return opened[0]


def send_all(process: Process, numbers: list[int], acknowledged: dict[int, bytes]) -> None:
    """Send instances one after another; one without Success is sent again, as a modality does."""
    scu: RawScu | None = None
    waiting = list(numbers)
    while waiting:
        number = waiting[0]
        try:
            scu = scu or process.connect()
            status = send(scu, instance(number, size_bytes=2_000))
        except (Aborted, OSError):
            if scu is not None:
                scu.close()
            scu = None
            continue
        if status == 0:
            acknowledged[number] = encode(instance(number, size_bytes=2_000))
            waiting.pop(0)
    if scu is not None:
        scu.release()


def data_sets(store: S3Store) -> set[bytes]:
    kept = [store.get(stat.key) for stat in store.list(INSTANCES)]
    return {data[144 + int.from_bytes(data[140:144], "little") :] for data in kept}


async def announced(nats: NatsServer, store: S3Store) -> set[str]:
    """Return the keys of every object whose announcement the stream or the outbox holds."""
    bus = await NatsBus.open(NatsOptions(servers=(nats.url,)))
    keys = set()
    try:
        consumer = await bus.consumer(ConsumerSpec("kill-test", (InstanceStored.TYPE,)))
        while deliveries := await consumer.fetch(100, timeout_s=2):
            for delivery in deliveries:
                keys.add(decode(delivery.body, InstanceStored).object_key)
                await delivery.ack()
        await consumer.close()
    finally:
        await bus.close()
    for stat in store.list(OUTBOX):
        letter = json.loads(store.get(stat.key))
        keys.add(decode(letter["event"].encode(), InstanceStored).object_key)
    return keys


@pytest.mark.faults
@pytest.mark.server
def test_every_success_survives_kill_9_at_any_moment(
    weed: Weed, own_nats_server: NatsServer, tmp_path: Path
) -> None:
    chance = random.Random(2026)
    process = Process(weed, own_nats_server, "kill-scp", tmp_path)
    acknowledged: dict[int, bytes] = {}
    process.start()
    sender = threading.Thread(
        target=send_all, args=(process, list(range(INSTANCES_SENT)), acknowledged)
    )
    sender.start()

    for kill in range(KILLS):
        due = INSTANCES_SENT * (kill + 1) // (KILLS + 2)
        wait_until(lambda due=due: len(acknowledged) >= due, what=f"{due} are acknowledged")
        time.sleep(chance.random() * 0.02)  # the moment of the kill, not a wait for anything
        process.kill()
        process.start()
    sender.join(120)

    assert not sender.is_alive(), process.log()
    store = S3Store(weed.options("kill-scp"))
    assert len(acknowledged) == INSTANCES_SENT
    assert set(acknowledged.values()) == data_sets(store)
    assert asyncio.run(announced(own_nats_server, store)) == {
        stat.key for stat in store.list(INSTANCES)
    }
    assert process.terminate() == 0
    store.close()
