"""kill -9 of the gateway in the middle of a send, on S3 and NATS: all arrives, little of it twice."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dicomio.nats_connection import NatsOptions
from tests import factories
from tests.e2e.trio import DEADLINE_S, GATEWAY, Trio
from tests.integration.test_gateway_sends import STUDY, fill
from tests.integration.test_store_command import images
from tests.peers.taker import Taken, taker
from tests.servers.weed import Weed

pytestmark = [pytest.mark.server, pytest.mark.faults, pytest.mark.e2e, pytest.mark.timeout(420)]

NUMBER = 120
KILLED_AT = 60
SLOWLY_S = 0.05
"""An instance; the job saves what was acknowledged every second."""


async def test_a_send_goes_on_where_the_killed_gateway_stopped(
    weed: Weed, nats_options: NatsOptions, tmp_path: Path
) -> None:
    reached = threading.Event()

    def slowly(one: Taken) -> int:
        if one.number >= KILLED_AT:
            reached.set()
        threading.Event().wait(SLOWLY_S)
        return 0

    # given: a gateway that sends one image after another
    servers = ",".join(nats_options.servers)
    with taker(slowly) as to, Trio.on(weed, servers, "", tmp_path) as trio:
        to.most_associations = 1
        await asyncio.to_thread(fill, trio.store, images(NUMBER))
        peers = tmp_path / "peers.toml"
        peers.write_text(
            f'[peers.TPS]\nae_title = "{to.node.ae_title}"\nhost = "127.0.0.1"\n'
            f"port = {to.node.port}\n"
        )
        trio.environments[GATEWAY]["QR_GATEWAY_PEERS_FILE"] = str(peers)
        trio.start(GATEWAY)
        await trio.until_ready(GATEWAY)
        order = {"peer": "TPS", "study_instance_uids": [STUDY]}
        _, job = await trio.ask(GATEWAY, "POST", "/v1/sends", json=order)

        # when: it is killed, and started again
        assert await asyncio.to_thread(reached.wait, DEADLINE_S)
        await asyncio.to_thread(trio.kill, GATEWAY)
        before = len(to.taken)
        trio.start(GATEWAY)
        ended = await _until_ended(trio, job["id"])

    # then: everything is there, and what had been saved was not sent again
    assert ended["state"] == "complete", ended
    assert ended["attempts"] == 2
    assert ended["counts"]["items"] == NUMBER
    assert len(to.stored) == NUMBER
    assert before < NUMBER
    assert len(to.taken) - NUMBER < before / 2
    assert str(factories.ct().PatientID) not in trio.log(GATEWAY)


async def _until_ended(trio: Trio, job_id: str) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                status, job = await trio.ask(GATEWAY, "GET", f"/v1/sends/{job_id}")
            except aiohttp.ClientError:
                status, job = 0, None
            if status == 200 and job["ended_at"] is not None:
                return job
            await asyncio.sleep(0.2)
