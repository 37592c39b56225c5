"""`POST /v1/sends`: studies of the object store to a peer, over HTTP, as a job with a ledger."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from pydicom import Dataset

from dicomcore.landing import prepare
from dicomcore.ports import ObjectStore
from dicomcore.received import Received
from dicomio import pacs
from dicomio.directory_store import DirectoryStore
from dicomio.http import make_app, serve
from dicomio.jobs.attempt import Pace
from dicomio.jobs.options import WorkerOptions
from dicomio.jobs.states import Progress, State
from dicomio.local_bus import LocalBus
from dicomio.local_kv import LocalKeyValue
from dicomio.pacs import Retry
from dicomio.peers import Peers, PeerSettings
from qr_gateway.gateway import BUCKET, Gateway, GatewayParts
from qr_gateway.sending.job import Listener, SendingParts, send_studies
from qr_gateway.sending.model import SendRequest
from tests import factories
from tests.integration.test_store_command import decoded, images, machines, plan_refused_unless
from tests.peers.taker import Ending, Taken, Taker, taker
from tests.unit.test_sending_order import varian, world

DEADLINE_S = 60
STUDY = str(factories.ct().StudyInstanceUID)
ALL = sorted(str(one.SOPInstanceUID) for one in world())
QUICK = Retry(attempts=3, first_pause_s=0.01, longest_pause_s=0.02)


def fill(store: ObjectStore, datasets: Iterable[Dataset]) -> None:
    for one in datasets:
        data = factories.encoded(one)
        received = Received(
            str(one.SOPClassUID), str(one.SOPInstanceUID), "1.2.840.10008.1.2.1", data, "TEST"
        )
        prepared = prepare(received)
        store.put(str(prepared.key), prepared.parts)


@dataclass
class Site:
    """A running gateway with a filled object store."""

    session: aiohttp.ClientSession
    url: str
    store: DirectoryStore

    async def ask(self, method: str, path: str, *, status: int = 0, **more: Any) -> Any:
        async with self.session.request(method, self.url + path, **more) as answer:
            body = await answer.json()
            assert answer.status == status or (not status and answer.ok), body
            return body

    async def send(self, **order: Any) -> Any:
        """Return a send once it has ended."""
        order = {"peer": "TPS", "study_instance_uids": [STUDY], **order}
        job = await self.ask("POST", "/v1/sends", json=order, status=202)
        return await self.ended(job)

    async def ended(self, job: Any) -> Any:
        async with self.session.get(f"{self.url}/v1/sends/{job['id']}/events") as stream:
            assert "event: end" in await stream.text()
        return await self.ask("GET", f"/v1/sends/{job['id']}")


OpenSite = Callable[[Taker], AbstractAsyncContextManager[Site]]


@pytest.fixture
def site(tmp_path: Path) -> OpenSite:
    @asynccontextmanager
    async def opened(to: Taker) -> AsyncIterator[Site]:
        store = DirectoryStore(tmp_path / "objects")
        bus = await LocalBus.open(tmp_path / "bus.sqlite")
        kv = await LocalKeyValue.open(tmp_path / "kv.sqlite", BUCKET)
        peer = PeerSettings(ae_title=to.node.ae_title, host=to.node.host, port=to.node.port)
        registry = CollectorRegistry()
        gateway = Gateway(
            GatewayParts(
                peers=Peers({"TPS": peer}),
                store=store,
                bus=bus,
                kv=kv,
                receive=lambda _: 0xC000,
                registry=registry,
                options=WorkerOptions(pace=Pace(progress_every_s=0.1), retry_s=0.05),
                connect=lambda peer: pacs.DicomPacs(peer, retry=QUICK),
            )
        )
        app = make_app("qr-gateway", "1", gateway.routes(), metrics_registry=registry)
        server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
        running = asyncio.create_task(gateway.run())
        try:
            timeout = aiohttp.ClientTimeout(DEADLINE_S)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                yield Site(session, server.url, store)
        finally:
            gateway.stop()
            await asyncio.wait_for(running, DEADLINE_S)
            await server.stop()
            await kv.close()
            await bus.close()
            store.close()

    return opened


async def test_a_study_is_sent_once_in_order_with_mapped_machines(site: OpenSite) -> None:
    with taker() as to:
        async with site(to) as at:
            fill(at.store, world())

            job = await at.send(machine_mapping={"TB1": "LA7"})
            items = await at.ask("GET", f"/v1/sends/{job['id']}/items")
            listed = await at.ask("GET", "/v1/sends")

    assert job["state"] == "complete"
    assert sorted(to.uids) == ALL
    plan = to.stored[factories.PLAN_UID]
    assert machines(plan) == ["LA7", "LA7"]
    assert [one.sop_class_uid for one in to.taken].index(factories.PLAN_CLASS) == 4
    assert job["counts"]["items"] == job["progress"]["landed"] == len(ALL)
    assert {tuple(item["statuses"]) for item in items["items"]} == {(0,)}
    (renamed,) = [item for item in items["items"] if item["machines"]]
    assert renamed["machines"] == {"TB1": "LA7"}
    assert [one["id"] for one in listed["sends"]] == [job["id"]]
    # what is in the store is what it was
    for one in world():
        if one.Modality != "RTPLAN":
            assert to.stored[str(one.SOPInstanceUID)].data == factories.encoded(one)


async def test_only_the_instances_that_are_named_are_sent(site: OpenSite) -> None:
    chosen = [factories.PLAN_UID, factories.CT_UIDS[0]]
    with taker() as to:
        async with site(to) as at:
            fill(at.store, world())

            job = await at.send(sop_instance_uids=chosen)

    assert job["state"] == "complete"
    assert sorted(to.uids) == sorted(chosen)


async def test_it_stops_at_a_plan_that_is_refused_and_says_everything(site: OpenSite) -> None:
    with taker(plan_refused_unless("LA7")) as to:
        to.comment = "unknown treatment unit"
        async with site(to) as at:
            fill(at.store, world())

            job = await at.send()
            page = await at.ask("GET", f"/v1/sends/{job['id']}/not-sent?limit=1")

    assert job["state"] == "partial"
    assert job["stopped_by"] == factories.PLAN_UID
    failed, *others = job["not_sent"]
    assert failed["sop_instance_uid"] == factories.PLAN_UID
    assert failed["statuses"] == [0xC000]
    assert failed["comment"] == "unknown treatment unit"
    assert {one["outcome"] for one in others} == {"not_tried"}
    assert job["counts"] == {"items": 4, "missing": 7, "dangling": 0, "probed": 0}
    assert page["items"] == [failed]
    assert page["next"]


async def test_a_model_nobody_named_ends_the_job_before_anything_is_sent(site: OpenSite) -> None:
    with taker() as to:
        async with site(to) as at:
            fill(at.store, [varian(factories.plan(), machine="", model="23EX")])

            job = await at.send(default_machines={"RDS": "HALCYON"})
            good = await at.send(default_machines={"RDS": "HALCYON", "23EX": "D"})

        assert job["state"] == "failed"
        assert job["unknown_models"] == ["23EX"]
        assert good["state"] == "complete"
        assert [machines(one) for one in to.taken] == [["D", "D"]]


async def test_what_aria_refuses_is_held_back_with_its_reason(site: OpenSite) -> None:
    with taker() as to:
        async with site(to) as at:
            fill(at.store, [factories.plan(), factories.dose(plan_uids=())])

            job = await at.send()
            allowed = await at.send(allow_any_manufacturer=True)

    assert job["state"] == "complete"
    assert {one["outcome"] for one in job["not_sent"]} == {"held_back"}
    assert len(job["not_sent"]) == 2
    assert allowed["counts"]["items"] == len(to.taken) == 2


async def test_a_peer_that_goes_away_gets_the_rest_when_it_is_back(site: OpenSite) -> None:
    away = threading.Event()
    away.set()

    def leave_after_thirty(one: Taken) -> int | Ending:
        if one.number >= 30 and away.is_set():
            to.most_associations = 0  # and those that are open end here
            return Ending.ABORT
        return 0

    with taker(leave_after_thirty) as to:
        async with site(to) as at:
            fill(at.store, images(60))
            order = {"peer": "TPS", "study_instance_uids": [STUDY]}
            job = await at.ask("POST", "/v1/sends", json=order)
            async with asyncio.timeout(DEADLINE_S):
                while (await at.ask("GET", f"/v1/sends/{job['id']}"))["attempts"] < 2:
                    await asyncio.sleep(0.05)
            away.clear()
            to.most_associations = 100

            ended = await at.ended(job)

    assert ended["state"] == "complete"
    assert ended["counts"]["items"] == 60
    assert ended["attempts"] >= 2
    # what was acknowledged before is not sent again
    acknowledged = {one.sop_instance_uid for one in to.taken[:30]}
    assert not [one for one in to.taken[30:] if one.sop_instance_uid in acknowledged]


async def test_the_same_key_is_the_same_job(site: OpenSite) -> None:
    order = {"peer": "TPS", "study_instance_uids": [STUDY]}
    headers = {"Idempotency-Key": "once"}
    with taker() as to:
        async with site(to) as at:
            fill(at.store, world())

            first = await at.ask("POST", "/v1/sends", json=order, headers=headers)
            second = await at.ask("POST", "/v1/sends", json=order, headers=headers)
            await at.ended(first)

    assert first["id"] == second["id"]
    assert sorted(to.uids) == ALL


async def test_cancelled_in_the_middle_it_ends_and_what_was_sent_is_told(site: OpenSite) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly_from_ten_on(one: Taken) -> int:
        if one.number == 10:
            loop.call_soon_threadsafe(reached.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(DEADLINE_S)
        if one.number > 10:  # longer for the rest together than until the worker looks
            threading.Event().wait(0.2)
        return 0

    with taker(slowly_from_ten_on) as to:
        to.most_associations = 1
        async with site(to) as at:
            fill(at.store, images(50))
            order = {"peer": "TPS", "study_instance_uids": [STUDY]}
            job = await at.ask("POST", "/v1/sends", json=order)
            await asyncio.wait_for(reached.wait(), DEADLINE_S)
            cancelled = await at.ask("POST", f"/v1/sends/{job['id']}/cancel", status=202)
            go_on.set()
            ended = await at.ended(job)

    assert cancelled["cancel_requested"]
    assert ended["state"] == "cancelled"
    assert ended["counts"]["items"] == len(to.stored) < 50
    assert {one["outcome"] for one in ended["not_sent"]} == {"not_tried"}


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"peer": "NOBODY"}, 404),
        ({"study_instance_uids": []}, 422),
        ({"study_instance_uids": ["../secret"]}, 422),
        ({"sop_instance_uids": ["1.2.x"]}, 422),
        ({"machine_mapping": {"A": "x" * 17}}, 422),
        ({"machine_mapping": {"A": "a\\b"}}, 422),
        ({"patient_id": "P1"}, 422),
    ],
)
async def test_an_order_that_cannot_be_understood_is_refused(
    site: OpenSite, order: dict[str, Any], status: int
) -> None:
    with taker() as to:
        async with site(to) as at:
            body = {"peer": "TPS", "study_instance_uids": [STUDY], **order}
            await at.ask("POST", "/v1/sends", json=body, status=status)

    assert to.associations == 0


async def test_a_study_that_is_not_in_the_store_fails_and_says_so(site: OpenSite) -> None:
    with taker() as to:
        async with site(to) as at:
            job = await at.send(study_instance_uids=["1.2.404"])

    assert job["state"] == "failed"
    assert job["problem"] == "nothing of it is in the object store"


def test_a_job_goes_on_where_a_killed_worker_left_it(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    fill(store, images(40))
    saved: list[bytes] = []
    request = SendRequest(study_instance_uids=(STUDY,))

    class Killed(Exception):
        pass

    with taker() as to:
        client = pacs.DicomPacs(
            pacs.Peer("TPS", to.node.ae_title, to.node.host, to.node.port), retry=QUICK
        )
        parts = SendingParts(store, client, associations=1)

        def killed_at_25(progress: Progress) -> None:
            if progress.landed == 25:
                raise Killed

        def save(state: bytes) -> None:
            saved.append(state)

        send_studies(
            request, parts, Listener(None, save, lambda _: None, lambda: len(to.taken) > 9)
        )
        with pytest.raises(Killed):
            send_studies(request, parts, Listener(saved[-1], save, killed_at_25, lambda: False))
        before = len(to.taken)
        report = send_studies(
            request, parts, Listener(saved[-1], save, lambda _: None, lambda: False)
        )

    assert report.progress.state is State.COMPLETE
    assert len(report.sent) == report.progress.landed == 40
    assert len(to.stored) == 40
    assert [one.before for one in to.taken[:before]] == [0] * before
    assert {decoded(one).Modality for one in to.taken} == {"CT"}
    store.close()


def test_a_saved_state_that_cannot_be_read_costs_time_only(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    fill(store, images(3))
    with taker() as to:
        client = pacs.DicomPacs(pacs.Peer("TPS", to.node.ae_title, to.node.host, to.node.port))
        report = send_studies(
            SendRequest(study_instance_uids=(STUDY,)),
            SendingParts(store, client, 1),
            Listener(b"not JSON", lambda _: None, lambda _: None, lambda: False),
        )

    assert report.progress.state is State.COMPLETE
    assert len(to.taken) == 3
    store.close()
