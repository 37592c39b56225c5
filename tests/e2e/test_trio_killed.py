"""kill -9 of every service at random moments of a transfer of 500 objects: nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dicomio.nats_connection import NatsOptions
from dicomtools.demo.faults import Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import twelve_plans
from dicomtools.demo.sizes import SMALL, Sizes
from tests.e2e.trio import DEADLINE_S, GATEWAY, INDEXER, SERVICES, Trio
from tests.servers.weed import Weed

pytestmark = [pytest.mark.server, pytest.mark.faults, pytest.mark.e2e, pytest.mark.timeout(420)]

PATIENT = twelve_plans(sizes=Sizes(slice_factor=0.58, matrix_factor=SMALL.matrix_factor))
ALL = {str(instance.ref.sop_instance_uid) for instance in PATIENT.instances}
KILLS = 2 * len(SERVICES)
SLOW = Faults(stall_after=1, stall_s=0.15, stall_times=1000)
"""Every request of several instances takes a moment, so that there are moments to be killed in."""


@pytest.mark.parametrize("seed", [1])
async def test_nothing_acknowledged_is_lost_and_the_retrieval_ends_complete(
    weed: Weed,
    nats_options: NatsOptions,
    new_database: Callable[[], str],
    tmp_path: Path,
    seed: int,
) -> None:
    # given: the trio, and a PACS with some 500 instances of one patient
    assert len(ALL) >= 500
    destinations: dict[str, tuple[str, int]] = {}
    servers = ",".join(nats_options.servers)
    with (
        DemoPacs(PATIENT.datasets, destinations=destinations, faults=SLOW) as pacs,
        Trio.on(weed, servers, new_database(), tmp_path) as trio,
    ):
        destinations["STORE-SCP"] = ("127.0.0.1", trio.dicom_port)
        peers = tmp_path / "peers.toml"
        peers.write_text(
            f'[peers.DEMO]\nae_title = "{pacs.ae_title}"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
            "[peers.DEMO.limits]\nuid_list_limit = 20\nattempts = 10\nbackoff_s = 0.1\n"
            "backoff_limit_s = 2\n"
        )
        trio.environments[GATEWAY]["QR_GATEWAY_PEERS_FILE"] = str(peers)
        for name in SERVICES:
            trio.start(name)
        for name in SERVICES:
            await trio.until_ready(name)

        # when: the whole patient is retrieved, and each service is killed twice meanwhile
        _, job = await trio.ask(
            GATEWAY,
            "POST",
            "/v1/retrievals",
            json={"peer": "DEMO", "patient_id": PATIENT.patient_id},
        )
        rng = random.Random(seed)
        victims = rng.sample(SERVICES * 2, KILLS)
        marks = sorted(rng.sample(range(20, len(ALL) - 20), KILLS))
        for victim, mark in zip(victims, marks, strict=True):
            await _until_landed(trio, mark)
            await asyncio.to_thread(trio.kill, victim)
            trio.start(victim)
            await trio.until_ready(victim)
        ended = await _until_ended(trio, job["id"])

        # then: complete, everything answered Success is there, and the index knows all of it
        assert ended["state"] == "complete", ended
        landed = await asyncio.to_thread(trio.landed)
        acknowledged = {one.sop_instance_uid for one in pacs.sent if one.status == 0}
        assert acknowledged <= landed
        assert landed == ALL
        assert await _until_indexed(trio, len(ALL)) == {
            "patients": 1,
            "instances": len(ALL),
            "unreadable": 0,
            "conflicts": 0,
        }
        for name in SERVICES:
            assert PATIENT.patient_id not in trio.log(name)


async def _until_landed(trio: Trio, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(await asyncio.to_thread(trio.landed)) < count:
            await asyncio.sleep(0.05)


async def _until_ended(trio: Trio, job_id: str) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                status, job = await trio.ask(GATEWAY, "GET", f"/v1/retrievals/{job_id}")
            except aiohttp.ClientError:
                status, job = 0, None
            if status == 200 and job["ended_at"] is not None:
                return job
            await asyncio.sleep(0.2)


async def _until_indexed(trio: Trio, count: int) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status, stats = await trio.ask(INDEXER, "GET", "/v1/stats")
            if status == 200 and stats["instances"] >= count:
                return stats
            await asyncio.sleep(0.2)
