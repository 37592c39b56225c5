"""Several store-scp processes on one port: all take part, one that dies is replaced, all stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from dicomcore.keys import INSTANCES
from dicomio.s3_store import S3Store
from tests.instances import instance
from tests.integration.scp_world import PLANS, send
from tests.peers.processes import wait_until
from tests.peers.raw_scu import Aborted, RawScu, Rejected
from tests.servers.nats import NatsServer
from tests.servers.ports import free_ports
from tests.servers.weed import ACCESS_KEY, SECRET_KEY, Weed

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(sys.platform == "win32", reason="sockets are not inherited there"),
]


class Service:
    """The supervisor and its processes."""

    def __init__(self, weed: Weed, nats: NatsServer, folder: Path, processes: int) -> None:
        self.port = free_ports(1)[0]
        self.bucket = f"workers-{uuid4().hex}"
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "store_scp"],
                env={
                    "PATH": os.environ["PATH"],
                    "STORE_SCP_PORT": str(self.port),
                    "STORE_SCP_HTTP_PORT": "0",
                    "STORE_SCP_PROCESSES": str(processes),
                    "STORE_SCP_MAXIMUM_ASSOCIATIONS": "32",
                    "S3_ENDPOINT": weed.endpoint,
                    "S3_BUCKET": self.bucket,
                    "S3_ACCESS_KEY": ACCESS_KEY,
                    "S3_SECRET_KEY": SECRET_KEY,
                    "S3_SECURE": "false",
                    "NATS_SERVERS": nats.url,
                },
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return self._log.read_text()

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def starts(self) -> int:
        """Return how often a process has begun to serve."""
        return self.log().count('"service_started"')

    def send(self, number: int) -> int | None:
        """Send one instance on an association of its own; return the status, if there was one."""
        try:
            with RawScu(self.port, PLANS) as scu:
                status = send(scu, instance(number))
                scu.release()
        except (OSError, Aborted, Rejected):
            return None
        return status


@pytest.fixture
def service(weed: Weed, own_nats_server: NatsServer, tmp_path: Path) -> Iterator[Service]:
    running = Service(weed, own_nats_server, tmp_path, 2)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_processes_share_a_port_are_replaced_when_they_die_and_stop_together(
    service: Service, weed: Weed
) -> None:
    wait_until(lambda: service.starts() == 2, what=f"both serve: {service.log()}")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(service.send, range(64)))
    assert statuses == [0] * 64

    first, second = service.workers()
    wait_until(lambda: first.create_time() + 6 < psutil.time.time(), what="it is no false start")
    first.kill()
    assert service.send(100) == 0  # the other one is there
    wait_until(lambda: service.starts() == 3, what="the dead one is replaced")
    assert second.pid in {worker.pid for worker in service.workers()}
    assert len(service.workers()) == 2

    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0
    assert not second.is_running()
    store = S3Store(weed.options(service.bucket))
    assert len(list(store.list(INSTANCES))) == 65
    store.close()


def test_processes_end_when_the_one_that_started_them_is_killed(service: Service) -> None:
    wait_until(lambda: service.starts() == 2, what=f"both serve: {service.log()}")
    workers = service.workers()

    service.process.kill()
    service.process.wait()

    wait_until(lambda: not any(worker.is_running() for worker in workers), what="they have ended")


def test_a_process_that_cannot_start_ends_them_all(
    weed: Weed, own_nats_server: NatsServer, tmp_path: Path
) -> None:
    other = Service(weed, own_nats_server, tmp_path, 1)
    wait_until(lambda: other.starts() == 1, what=f"it serves: {other.log()}")
    folder = tmp_path / "second"
    folder.mkdir()
    environment = {"STORE_SCP_HTTP_PORT": "1"}  # which only the administrator may bind, or nobody

    ran = subprocess.run(
        [sys.executable, "-m", "store_scp"],
        env={
            **psutil.Process(other.process.pid).environ(),
            **environment,
            "STORE_SCP_PROCESSES": "2",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    other.process.terminate()
    assert other.process.wait(60) == 0
    assert ran.returncode == 1
    assert "service_could_not_start" in ran.stdout + ran.stderr
