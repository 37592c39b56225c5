"""The gateway, store-scp and a PACS in one process: one plan, exactly, by C-MOVE and by C-GET."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from dicomcore.keys import INSTANCES, parse_object_key
from dicomio.directory_store import DirectoryStore
from dicomio.http import make_app, serve
from dicomio.jobs.attempt import Pace
from dicomio.jobs.options import WorkerOptions
from dicomio.landing import Announcer, Lander
from dicomio.limits import Limits
from dicomio.local_bus import LocalBus
from dicomio.local_kv import LocalKeyValue
from dicomio.peers import Peers, PeerSettings
from dicomtools.demo.faults import ALWAYS, Faults
from dicomtools.demo.pacs import DemoPacs
from dicomtools.demo.patients import small_patient
from qr_gateway.gateway import BUCKET, Gateway, GatewayParts
from qr_gateway.receiving import receiver
from store_scp.metrics import ScpMetrics
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.bus_double import Bus

PATIENT = small_patient(patient_id="CANARY-GATEWAY", seed=3)
OTHER = small_patient(patient_id="CANARY-OTHER", seed=4)
DATASETS = [*PATIENT.datasets, *OTHER.datasets]
IMAGES = {"CT", "MR", "PT", "RTIMAGE"}
DEADLINE_S = 60.0


class Site:
    """A clinic's PACS and our gateway, with store-scp beside it."""

    def __init__(
        self, pacs: DemoPacs, store: DirectoryStore, session: aiohttp.ClientSession, url: str
    ) -> None:
        self.pacs = pacs
        self.store = store
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str, **how: Any) -> Any:
        async with self._session.request(method, self._url + path, **how) as response:
            body = await response.json()
            assert response.status < 300, body
            return body

    async def retrieve(self, label: str | None, method: str) -> Any:
        """Return a retrieval once it has ended."""
        order = {"peer": "DEMO", "patient_id": PATIENT.patient_id, "method": method}
        if label is not None:
            order["plan_label"] = label
        job = await self.ask("POST", "/v1/retrievals", json=order)
        async with self._session.get(f"{self._url}/v1/retrievals/{job['id']}/events") as stream:
            text = await stream.text()
        assert "event: end" in text
        return await self.ask("GET", f"/v1/retrievals/{job['id']}")

    async def items(self, job: Any, kind: str = "closure") -> set[str]:
        body = await self.ask("GET", f"/v1/retrievals/{job['id']}/items?kind={kind}&limit=500")
        return {item["sop_instance_uid"] for item in body["items"]}

    def landed(self) -> set[str]:
        keys = [parse_object_key(stat.key) for stat in self.store.list(INSTANCES)]
        return {str(key.ref.sop_instance_uid) for key in keys}


OpenSite = Callable[[Faults], AbstractAsyncContextManager[Site]]


@pytest.fixture
def site(tmp_path: Path) -> OpenSite:
    @asynccontextmanager
    async def opened(faults: Faults) -> AsyncIterator[Site]:
        store = DirectoryStore(tmp_path / "objects")
        lander = Lander(store, Announcer(store, Bus().publish).announce)
        scp = StoreScp(ScpOptions(port=0), lander.land, metrics=ScpMetrics(CollectorRegistry()))
        scp.start()
        destinations = {"STORE-SCP": ("127.0.0.1", scp.port)}
        bus = await LocalBus.open(tmp_path / "bus.sqlite")
        kv = await LocalKeyValue.open(tmp_path / "kv.sqlite", BUCKET)
        with DemoPacs(DATASETS, destinations=destinations, faults=faults) as pacs:
            peer = PeerSettings(
                ae_title=pacs.ae_title,
                host="127.0.0.1",
                port=pacs.port,
                limits=Limits(uid_list_limit=8, backoff_s=0.05),
            )
            registry = CollectorRegistry()
            gateway = Gateway(
                GatewayParts(
                    peers=Peers({"DEMO": peer}, move_destination="STORE-SCP"),
                    store=store,
                    bus=bus,
                    kv=kv,
                    receive=receiver(lander),
                    registry=registry,
                    options=WorkerOptions(pace=Pace(progress_every_s=0.1)),
                )
            )
            app = make_app("qr-gateway", "1", gateway.routes(), metrics_registry=registry)
            server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
            running = asyncio.create_task(gateway.run())
            timeout = aiohttp.ClientTimeout(DEADLINE_S)
            try:
                async with aiohttp.ClientSession(timeout=timeout) as session:
                    yield Site(pacs, store, session, server.url)
            finally:
                gateway.stop()
                await asyncio.wait_for(running, DEADLINE_S)
                await server.stop()
                await asyncio.to_thread(scp.stop)
                await kv.close()
                await bus.close()
                store.close()

    return opened


@pytest.mark.parametrize("method", ["move", "get"])
async def test_one_plan_lands_with_exactly_what_it_references(site: OpenSite, method: str) -> None:
    async with site(Faults()) as at:
        job = await at.retrieve("PLAN_1", method)
        closure, probed = await at.items(job), await at.items(job, "probed")

        assert job["state"] == "complete", job
        assert closure == PATIENT.closure("PLAN_1")
        assert at.landed() == closure | probed
        assert set(at.pacs.times_sent) == closure | probed
        assert max(at.pacs.times_sent.values()) == 1
        assert job["progress"]["landed"] == len(closure)
        assert job["progress"]["bytes_moved"] >= at.pacs.bytes_sent > 0


async def test_another_plan_of_the_patient_moves_only_what_is_new(site: OpenSite) -> None:
    async with site(Faults()) as at:
        await at.retrieve("PLAN_1", "move")
        before = at.landed()
        sent = len(at.pacs.sent)

        job = await at.retrieve("PLAN_2", "get")

        assert job["state"] == "complete", job
        assert await at.items(job) == PATIENT.closure("PLAN_2")
        again = {one.sop_instance_uid for one in at.pacs.sent[sent:]}
        assert again
        assert not again & before


@pytest.mark.parametrize("method", ["move", "get"])
async def test_what_never_comes_is_named_with_its_reason(site: OpenSite, method: str) -> None:
    closure = PATIENT.closure("PLAN_1")
    lost = next(
        i.ref.sop_instance_uid
        for i in PATIENT.instances
        if i.modality in IMAGES and i.ref.sop_instance_uid in closure
    )
    async with site(Faults(unretrievable=frozenset({lost}))) as at:
        job = await at.retrieve("PLAN_1", method)

        assert job["state"] == "partial"
        assert [each["uid"] for each in job["missing"]] == [lost]
        assert job["missing"][0]["reason"]
        assert await at.items(job) == closure - {lost}


async def test_images_that_are_dropped_silently_are_asked_for_again(site: OpenSite) -> None:
    async with site(Faults(drop_every_nth=3, drop_times=1)) as at:
        job = await at.retrieve("PLAN_1", "move")

        assert job["state"] == "complete", job
        assert await at.items(job) == PATIENT.closure("PLAN_1")
        assert at.landed() >= PATIENT.closure("PLAN_1")


async def test_a_pacs_that_returns_everything_brings_nobody_elses_data(site: OpenSite) -> None:
    async with site(Faults(return_everything=True)) as at:
        job = await at.retrieve(None, "get")

        assert job["state"] == "complete", job
        assert at.landed() == {i.ref.sop_instance_uid for i in PATIENT.instances}


async def test_a_pacs_that_only_says_success_never_makes_a_complete(site: OpenSite) -> None:
    async with site(Faults(success_with_nothing=ALWAYS)) as at:
        job = await at.retrieve("PLAN_1", "move")

        assert job["state"] in ("partial", "failed")
        assert at.landed() == set()
        assert job["problem"] or job["messages"] or job["missing"] or job["plans"]


async def test_echo_and_find_reach_the_pacs(site: OpenSite) -> None:
    async with site(Faults(return_everything=True)) as at:
        echoed = await at.ask("POST", "/v1/peers/DEMO/echo")
        found = await at.ask(
            "POST",
            "/v1/peers/DEMO/find",
            json={
                "level": "STUDY",
                "keys": {"PatientID": PATIENT.patient_id, "StudyInstanceUID": ""},
            },
        )

    assert echoed["duration_s"] > 0
    studies = {i.ref.study_instance_uid for i in PATIENT.instances}
    assert {match["0020000D"]["Value"][0] for match in found["matches"]} == studies
    assert found["dropped"] > 0
