"""qr-gateway as a process, killed in the middle of a retrieval: complete after all, nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dicomcore.events import RetrievalCompleted, RetrievalEnded, decode
from dicomcore.keys import INSTANCES, parse_object_key
from dicomcore.ports import ConsumerSpec
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Store
from dicomtools.demo.faults import Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import twelve_plans
from tests.servers.ports import free_ports
from tests.servers.weed import Weed

pytestmark = [pytest.mark.server, pytest.mark.faults]

PATIENT = twelve_plans(size=0.02)
LABEL = "PROST_7F"
CLOSURE = PATIENT.closure(LABEL)
DEADLINE_S = 120.0
SLOW = Faults(stall_after=1, stall_s=0.4, stall_times=40)
"""Every list of images takes a while, so that there is a middle to be killed in."""


@dataclass
class Service:
    """One of ours as a process; `environment` is all it is told."""

    module: str
    environment: dict[str, str]
    log: Path

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


class Site:
    """Object store, bus, store-scp and PACS; the gateway comes and goes."""

    def __init__(self, pacs: DemoPacs, store: S3Store, gateway: Service, url: str) -> None:
        self.pacs = pacs
        self.store = store
        self.gateway = gateway
        self.url = url

    def landed(self) -> set[str]:
        keys = [parse_object_key(stat.key) for stat in self.store.list(INSTANCES)]
        return {str(key.ref.sop_instance_uid) for key in keys}

    async def until_landed(self, count: int, process: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(await asyncio.to_thread(self.landed)) < count:
                assert process.poll() is None, self.gateway.log.read_text()
                await asyncio.sleep(0.05)

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        timeout = aiohttp.ClientTimeout(DEADLINE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, self.url + path, **how) as response,
        ):
            return response.status, await response.json()

    async def until_ready(self, process: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert process.poll() is None, self.gateway.log.read_text()
                try:
                    status, _ = await self.ask("GET", "/readyz")
                except aiohttp.ClientConnectionError:
                    status = 0
                if status == 200:
                    return
                await asyncio.sleep(0.1)

    async def until_ended(self, job_id: str, process: subprocess.Popen[bytes]) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                assert process.poll() is None, self.gateway.log.read_text()
                _, job = await self.ask("GET", f"/v1/retrievals/{job_id}")
                if job["ended_at"] is not None:
                    return job
                await asyncio.sleep(0.1)


@pytest.fixture
def site(weed: Weed, nats_options: NatsOptions, tmp_path: Path) -> Iterator[Site]:
    options = weed.options(f"gateway-{uuid.uuid4().hex}")
    scp_port, scp_http, http_port = free_ports(3)
    shared = {
        "S3_ENDPOINT": options.endpoint,
        "S3_BUCKET": options.bucket,
        "S3_ACCESS_KEY": options.access_key,
        "S3_SECRET_KEY": options.secret_key,
        "S3_SECURE": "false",
        "NATS_SERVERS": ",".join(nats_options.servers),
    }
    scp = Service(
        "store_scp",
        {**shared, "STORE_SCP_PORT": str(scp_port), "STORE_SCP_HTTP_PORT": str(scp_http)},
        tmp_path / "store-scp.log",
    )
    with ExitStack() as stack:
        store = S3Store(options)
        stack.callback(store.close)
        store.ensure_bucket()
        destinations = {"STORE-SCP": ("127.0.0.1", scp_port)}
        pacs = stack.enter_context(
            DemoPacs(PATIENT.datasets, destinations=destinations, faults=SLOW)
        )
        peers = tmp_path / "peers.toml"
        peers.write_text(
            "[peers.DEMO]\n"
            f'ae_title = "{pacs.ae_title}"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
            "[peers.DEMO.limits]\nuid_list_limit = 5\nbackoff_s = 0.05\n"
        )
        gateway = Service(
            "qr_gateway",
            {
                **shared,
                "QR_GATEWAY_PEERS_FILE": str(peers),
                "QR_GATEWAY_MOVE_DESTINATION": "STORE-SCP",
                "QR_GATEWAY_HTTP_PORT": str(http_port),
                "QR_GATEWAY_LEASE_S": "1.5",
                "QR_GATEWAY_ACK_WAIT_S": "2",
            },
            tmp_path / "qr-gateway.log",
        )
        stack.enter_context(scp.running())
        yield Site(pacs, store, gateway, f"http://127.0.0.1:{http_port}")


@pytest.fixture
async def bus(nats_options: NatsOptions) -> AsyncIterator[NatsBus]:
    opened = await NatsBus.open(nats_options)
    yield opened
    await opened.close()


async def order(at: Site, method: str) -> str:
    status, job = await at.ask(
        "POST",
        "/v1/retrievals",
        json={
            "peer": "DEMO",
            "patient_id": PATIENT.patient_id,
            "plan_label": LABEL,
            "method": method,
        },
        headers={"Idempotency-Key": f"one-{method}"},
    )
    assert status == 202, job
    return str(job["id"])


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def terminate(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    ("method", "ends"),
    [("move", (kill, kill)), ("get", (terminate, kill))],
    ids=["move, killed twice", "get, told to stop, then killed"],
)
async def test_a_retrieval_outlives_the_gateway_that_runs_it(
    site: Site,
    bus: NatsBus,
    method: str,
    ends: tuple[Callable[[subprocess.Popen[bytes]], None], ...],
) -> None:
    # given: a retrieval, whose gateway ends twice in the middle
    landed: list[set[str]] = []
    job_id = ""
    for number, end in enumerate(ends, start=1):
        with site.gateway.running() as process:
            await site.until_ready(process)
            job_id = await order(site, method)
            await site.until_landed(number * len(CLOSURE) // 4, process)
            _, job = await site.ask("GET", f"/v1/retrievals/{job_id}")
            assert job["state"] == "running"
            await asyncio.to_thread(end, process)
            landed.append(await asyncio.to_thread(site.landed))
            assert len(landed[-1]) < len(CLOSURE)

    # when: it comes back
    with site.gateway.running() as process:
        await site.until_ready(process)
        job = await site.until_ended(job_id, process)
        _, items = await site.ask("GET", f"/v1/retrievals/{job_id}/items?limit=500")
        _, probed = await site.ask("GET", f"/v1/retrievals/{job_id}/items?kind=probed&limit=500")
        _, listed = await site.ask("GET", "/v1/retrievals")

    # then: it is complete, one job, announced once, and what had landed was not moved again
    assert job["state"] == "complete", job
    assert job["attempts"] == len(ends) + 1
    assert {item["sop_instance_uid"] for item in items["items"]} == CLOSURE
    in_store = await asyncio.to_thread(site.landed)
    assert in_store == CLOSURE | {item["sop_instance_uid"] for item in probed["items"]}
    assert len(listed["retrievals"]) == 1
    times = [one.sop_instance_uid for one in site.pacs.sent]
    assert {uid: times.count(uid) for uid in landed[-1] if times.count(uid) > 1} == {}
    assert await ends_announced(bus) == [job_id]
    assert PATIENT.patient_id not in site.gateway.log.read_text()


async def ends_announced(bus: NatsBus) -> list[str]:
    """Return the jobs of all events about ends, as they came."""
    consumer = await bus.consumer(
        ConsumerSpec("test-ends", (RetrievalCompleted.TYPE, RetrievalEnded.TYPE))
    )
    jobs: list[str] = []
    while got := await consumer.fetch(10, timeout_s=1.0):
        for delivery in got:
            jobs.append(decode(delivery.body, RetrievalCompleted).job_id)
            await delivery.ack()
    await consumer.close()
    return jobs
