"""store-scp replaced replica by replica while others send: no association is refused, and none is lost."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest

from dicomcore.keys import INSTANCES
from dicomio.s3_store import S3Store
from tests.instances import encode, instance
from tests.integration.scp_world import PLANS, send
from tests.peers.balancer import Backend, Balancer
from tests.peers.processes import wait_until
from tests.peers.raw_scu import Aborted, RawScu, Rejected
from tests.servers.nats import NatsServer
from tests.servers.ports import free_ports
from tests.servers.weed import ACCESS_KEY, SECRET_KEY, Weed

pytestmark = [
    pytest.mark.faults,
    pytest.mark.server,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there"),
]
LEAVE_S = 3
"""Many times what the balancer takes to notice."""
GRACE_S = 60
OF_AN_ASSOCIATION = 3
"""Instances that a modality sends before it releases."""


class Replica:
    """One store-scp process, as it is deployed."""

    def __init__(self, weed: Weed, nats: NatsServer, bucket: str, log: Path) -> None:
        self.backend = Backend(*free_ports(2))
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "store_scp"],
                env={
                    "PATH": os.environ["PATH"],
                    "STORE_SCP_PORT": str(self.backend.port),
                    "STORE_SCP_HTTP_PORT": str(self.backend.http_port),
                    "STORE_SCP_LEAVE_S": str(LEAVE_S),
                    "STORE_SCP_GRACE_S": str(GRACE_S),
                    "S3_ENDPOINT": weed.endpoint,
                    "S3_BUCKET": bucket,
                    "S3_ACCESS_KEY": ACCESS_KEY,
                    "S3_SECRET_KEY": SECRET_KEY,
                    "S3_SECURE": "false",
                    "NATS_SERVERS": nats.url,
                },
                stdout=out,
                stderr=out,
            )

    def log(self) -> str:
        return self._log.read_text()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


class Modality:
    """Opens one association after another, and never tries twice: what fails has failed."""

    def __init__(self, port: int, first: int) -> None:
        self._port = port
        self._numbers = itertools.count(first)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, name=f"modality-{first}")
        self.acknowledged: list[int] = []
        self.associations = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(GRACE_S)
        assert not self._thread.is_alive()

    def _send(self) -> None:
        while not self._stopping.is_set():
            try:
                with RawScu(self._port, PLANS) as scu:
                    for number in itertools.islice(self._numbers, OF_AN_ASSOCIATION):
                        assert send(scu, instance(number)) == 0
                        self.acknowledged.append(number)
                    scu.release()
                self.associations += 1
            except (OSError, Aborted, Rejected, AssertionError) as exc:
                self.failures.append(repr(exc))


class Fleet:
    """The replicas behind a balancer; none is left running."""

    def __init__(
        self, balancer: Balancer, weed: Weed, nats: NatsServer, bucket: str, folder: Path
    ) -> None:
        self._balancer = balancer
        self._servers = (weed, nats, bucket)
        self._folder = folder
        self._started: list[Replica] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._started:
            one.process.kill()
            one.process.wait()

    def join(self) -> Replica:
        """Start a replica; return once it gets associations."""
        log = self._folder / f"replica-{len(self._started)}.log"
        replica = Replica(*self._servers, log)
        self._started.append(replica)
        self._balancer.add(replica.backend)
        wait_until(lambda: replica.backend in self._balancer.ready(), what=f"ready {replica.log()}")
        return replica


@pytest.mark.timeout(240)
def test_replicas_are_replaced_one_by_one_and_no_association_is_refused_or_lost(
    weed: Weed, own_nats_server: NatsServer, tmp_path: Path
) -> None:
    bucket = f"rolling-{uuid4().hex}"
    with (
        Balancer() as balancer,
        Fleet(balancer, weed, own_nats_server, bucket, tmp_path) as fleet,
    ):
        # given: two replicas, modalities that send without a pause, and one association to each
        # replica that will last longer than the replica would like
        old = [fleet.join(), fleet.join()]
        lasting = [RawScu(replica.backend.port, PLANS) for replica in old]
        kept = list(range(2))
        assert [send(scu, instance(number)) for number, scu in enumerate(lasting)] == [0, 0]
        with Modality(balancer.port, 1000) as one, Modality(balancer.port, 100_000) as other:
            for number, (replica, scu) in enumerate(zip(old, lasting, strict=True)):
                # when: a new one is ready, and then the old one is told to stop
                new = fleet.join()
                replica.terminate()

                # then: it is not ready from now on, and serves whoever has not noticed yet
                wait_until(lambda replica=replica: not replica.backend.ready(), what="not ready")
                with RawScu(replica.backend.port, PLANS) as late:
                    assert send(late, instance(10 + number)) == 0
                    late.release()
                # and what lasts goes on when nobody new is accepted any more
                wait_until(
                    lambda replica=replica: not _accepts(replica.backend.port), what="closed"
                )
                assert replica.process.poll() is None
                assert send(scu, instance(20 + number)) == 0
                scu.release()
                scu.close()
                assert replica.process.wait(GRACE_S) == 0
                kept += [10 + number, 20 + number]
                before = one.associations + other.associations
                wait_until(
                    lambda before=before: one.associations + other.associations > before + 4,
                    what=f"modalities go on {new.log()}",
                )

    assert (one.failures, other.failures, balancer.refused) == ([], [], 0)
    assert min(one.associations, other.associations) > 0
    store = S3Store(weed.options(bucket))
    stored = {_data_set(store.get(stat.key)) for stat in store.list(INSTANCES)}
    store.close()
    sent = {*kept, *one.acknowledged, *other.acknowledged}
    assert stored == {encode(instance(number)) for number in sent}


def _accepts(port: int) -> bool:
    try:
        with RawScu(port, PLANS) as scu:
            scu.release()
    except (OSError, Aborted, Rejected):
        return False
    return True


def _data_set(data: bytes) -> bytes:
    """Return what follows the Part 10 header."""
    return data[144 + int.from_bytes(data[140:144], "little") :]
