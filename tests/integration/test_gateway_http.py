"""The gateway's HTTP operations on the embedded queue and ledger, with an executor on a leash."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openapi_spec_validator import validate
from prometheus_client import CollectorRegistry
from pydicom import Dataset
from structlog.testing import capture_logs

from dicomcore.errors import DicomToolsError, PeerRefused, PeerUnavailable
from dicomcore.ports import QueryLevel
from dicomio import pacs
from dicomio.directory_store import DirectoryStore
from dicomio.http import make_app, serve
from dicomio.jobs.attempt import Pace
from dicomio.jobs.options import WorkerOptions
from dicomio.local_bus import LocalBus
from dicomio.local_kv import LocalKeyValue
from dicomio.peers import Peers, PeerSettings
from qr_gateway.gateway import BUCKET, Gateway, GatewayParts
from qr_gateway.retrieval.model import (
    Dangling,
    Item,
    Missing,
    PlanReport,
    Progress,
    Report,
    RetrievalRequest,
    State,
)
from tests.memory_pacs import MemoryPacs

DEADLINE_S = 30.0
CANARY = "CANARY-4711"
ORDER = {"peer": "ARIA", "patient_id": CANARY, "plan_label": "A"}


class OddPacs(MemoryPacs):
    """Answers every query with everything it holds, or with an error; remembers what was asked."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        super().__init__(datasets)
        self.everything = list(datasets)
        self.asked: list[tuple[QueryLevel, dict[str, str]]] = []
        self.error: DicomToolsError | None = None

    def echo(self) -> float:
        if self.error is not None:
            raise self.error
        return 0.25

    def find(self, level: QueryLevel, keys: Mapping[str, str]) -> Sequence[Dataset]:
        if self.error is not None:
            raise self.error
        self.asked.append((level, dict(keys)))
        return self.everything


class Leash:
    """An executor that runs until it is let go, and then reports what the test has put in."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.runs: list[tuple[RetrievalRequest, str]] = []
        self.report = Report(progress=Progress(state=State.COMPLETE))

    def __call__(
        self, request: RetrievalRequest, parts: Any, *, cancelled: Any, progress: Any, **_: Any
    ) -> Report:
        self.runs.append((request, parts.destination))
        progress(Progress(step="images", landed=3, expected=7, bytes_moved=9))
        while not self.go.wait(0.02):
            if cancelled():
                return Report(progress=Progress(state=State.CANCELLED))
        return self.report


@dataclass
class World:
    url: str
    session: aiohttp.ClientSession
    pacs: OddPacs
    leash: Leash

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any, Any]:
        async with self.session.request(method, self.url + path, **how) as response:
            body = await response.json(content_type=None) if response.status != 304 else None
            return response.status, response.headers, body

    async def order(self, **how: Any) -> str:
        status, headers, body = await self.ask("POST", "/v1/retrievals", json=ORDER, **how)
        assert status == 202, body
        assert headers["Location"] == f"/v1/retrievals/{body['id']}"
        return str(body["id"])

    async def until(self, job_id: str, state: str) -> Any:
        """Return the retrieval once it is in a state."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                _, _, body = await self.ask("GET", f"/v1/retrievals/{job_id}")
                if body["state"] == state:
                    return body
                await asyncio.sleep(0.02)


def study(uid: str, patient_id: str, name: str = "") -> Dataset:
    dataset = Dataset()
    dataset.PatientID = patient_id
    dataset.PatientName = name
    dataset.StudyInstanceUID = uid
    dataset.StudyDate = "20260102"
    return dataset


def full_report() -> Report:
    return Report(
        progress=Progress(state=State.PARTIAL, landed=25, expected=27, bytes_moved=1000),
        items=tuple(
            Item(
                study_instance_uid="1.2",
                series_instance_uid="1.2.3",
                sop_instance_uid=f"1.2.3.{number}",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                modality="CT",
                object_key=f"instances/1.2/1.2.3/1.2.3.{number}/0123456789abcdef.dcm",
                size_bytes=number,
                why="image of the structure set",
            )
            for number in range(25)
        ),
        missing=(
            Missing(uid="1.9.1", reason="the PACS answered Success and did not send it"),
            Missing(uid="1.9.2", reason="the PACS failed to send it, status 0xA702"),
        ),
        dangling=(Dangling(uid="1.8", level="instance", relation="dose", referenced_by="1.2.3"),),
        plans=(PlanReport(sop_instance_uid="1.2.3", label="A", outcome="selected"),),
        messages=("The PACS refused a longer list.",),
        catalogue_instances=400,
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    bus = await LocalBus.open(tmp_path / "bus.sqlite")
    kv = await LocalKeyValue.open(tmp_path / "kv.sqlite", BUCKET)
    store = DirectoryStore(tmp_path / "objects")
    odd = OddPacs([study("1.2", CANARY, "Doe^Jane"), study("1.3", "OTHER"), study("1.4", "")])
    leash = Leash()
    registry = CollectorRegistry()

    def connect(peer: pacs.Peer) -> OddPacs:
        return odd

    gateway = Gateway(
        GatewayParts(
            peers=Peers(
                {
                    "ARIA": PeerSettings(ae_title="ARIA DB", host="pacs.invalid", port=104),
                    "NO-MOVE": PeerSettings(
                        ae_title="X", host="pacs.invalid", port=104, move_destination="ELSEWHERE"
                    ),
                },
                move_destination="STORE-SCP",
            ),
            store=store,
            bus=bus,
            kv=kv,
            receive=lambda _: 0,
            registry=registry,
            options=WorkerOptions(pace=Pace(progress_every_s=0.05), jobs=2),
            connect=connect,
            retrieve=leash,
        )
    )
    app = make_app(
        "qr-gateway", "1", gateway.routes(), metrics_registry=registry, checks=gateway.checks()
    )
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
    running = asyncio.create_task(gateway.run())
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session:
        yield World(server.url, session, odd, leash)
    gateway.stop()
    await asyncio.wait_for(running, DEADLINE_S)
    await server.stop()
    await kv.close()
    await bus.close()
    store.close()


# ── peers ───────────────────────────────────────────────────────────────────────────────────


async def test_peers_are_listed_with_what_they_can_bear(world: World) -> None:
    status, _, body = await world.ask("GET", "/v1/peers")

    assert status == 200
    assert [peer["name"] for peer in body["peers"]] == ["ARIA", "NO-MOVE"]
    assert body["peers"][0]["move_destination"] == "STORE-SCP"
    assert body["peers"][0]["limits"]["uid_list_limit"] == 64


async def test_echo_tells_how_long_it_took(world: World) -> None:
    status, _, body = await world.ask("POST", "/v1/peers/ARIA/echo")

    assert (status, body) == (200, {"name": "ARIA", "duration_s": 0.25})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PeerUnavailable("no answer within the idle time-out", peer="ARIA"), 504),
        (PeerRefused("the peer rejected the association", peer="ARIA"), 502),
    ],
)
@pytest.mark.parametrize("operation", ["echo", "find"])
async def test_a_peer_that_fails_is_a_gateway_problem(
    world: World, error: DicomToolsError, status: int, operation: str
) -> None:
    world.pacs.error = error
    body = {"json": {"level": "STUDY", "keys": {}}} if operation == "find" else {}

    answered, headers, problem = await world.ask("POST", f"/v1/peers/ARIA/{operation}", **body)

    assert answered == status
    assert problem["detail"] == error.sentence
    assert ("Retry-After" in headers) == (status == 504)


@pytest.mark.parametrize("path", ["/v1/peers/NOBODY/echo", "/v1/peers/..%2F/echo"])
async def test_an_unknown_peer_is_not_found(world: World, path: str) -> None:
    status, _, _ = await world.ask("POST", path)

    assert status == 404


async def test_find_returns_only_what_was_asked_for(world: World) -> None:
    keys = {"PatientID": CANARY, "PatientName": "", "StudyInstanceUID": "", "Modality": "CT"}

    status, _, body = await world.ask(
        "POST", "/v1/peers/ARIA/find", json={"level": "STUDY", "keys": keys}
    )

    assert status == 200
    assert world.pacs.asked == [(QueryLevel.STUDY, keys)]
    assert body["dropped"] == 2
    assert body["unverified"] == ["Modality"]
    (match,) = body["matches"]
    assert match["0020000D"] == {"vr": "UI", "Value": ["1.2"]}
    assert match["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}


async def test_more_matches_than_the_limit_are_cut_and_it_is_said(world: World) -> None:
    _, _, body = await world.ask(
        "POST", "/v1/peers/ARIA/find", json={"level": "STUDY", "keys": {}, "limit": 2}
    )

    assert (len(body["matches"]), body["truncated"]) == (2, True)


@pytest.mark.parametrize("value", ["P*", "P?", "A\\B", "P\n"])
async def test_a_pattern_is_refused_before_anything_is_sent(world: World, value: str) -> None:
    status, _, problem = await world.ask(
        "POST", "/v1/peers/ARIA/find", json={"level": "STUDY", "keys": {"PatientID": value}}
    )

    assert status == 422
    assert problem["facts"] == {"position": 1}
    assert world.pacs.asked == []


async def test_a_pattern_is_sent_when_it_is_asked_for(world: World) -> None:
    _, _, body = await world.ask(
        "POST",
        "/v1/peers/ARIA/find",
        json={"level": "STUDY", "keys": {"PatientID": "CANARY*"}, "allow_wildcards": True},
    )

    assert len(body["matches"]) == 1
    assert body["dropped"] == 2


# ── retrievals ──────────────────────────────────────────────────────────────────────────────


async def test_an_order_is_a_job_that_runs_and_ends_with_its_report(world: World) -> None:
    world.leash.report = full_report()

    job_id = await world.order()
    running = await world.until(job_id, "running")
    world.leash.go.set()
    ended = await world.until(job_id, "partial")

    assert running["missing"] == []
    assert ended["request"]["patient_id"] == CANARY
    assert ended["counts"] == {"items": 25, "missing": 2, "dangling": 1, "probed": 0}
    assert [each["uid"] for each in ended["missing"]] == ["1.9.1", "1.9.2"]
    assert ended["missing"][1]["reason"].endswith("0xA702")
    assert ended["plans"][0]["label"] == "A"
    assert ended["messages"] == ["The PACS refused a longer list."]
    assert ended["catalogue_instances"] == 400
    assert world.leash.runs == [(RetrievalRequest(patient_id=CANARY, plan_label="A"), "STORE-SCP")]


async def test_the_same_key_is_the_same_job_and_another_order_under_it_is_refused(
    world: World,
) -> None:
    key = {"Idempotency-Key": "one"}

    first = await world.order(headers=key)
    again = await world.order(headers=key)
    other, _, _ = await world.ask(
        "POST", "/v1/retrievals", json={**ORDER, "method": "get"}, headers=key
    )
    world.leash.go.set()
    await world.until(first, "complete")
    after = await world.order(headers=key)

    assert first == again == after
    assert other == 422
    assert len(world.leash.runs) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"peer": "NOBODY"}, 404),
        ({"patient_id": ""}, 422),
        ({"patient_id": "P*"}, 422),
        ({"patient_id": "P" * 65}, 422),
        ({"method": "ftp"}, 422),
        ({"anonymize": True}, 422),
    ],
)
async def test_an_order_that_cannot_be_carried_out_is_refused(
    world: World, change: dict[str, Any], status: int
) -> None:
    answered, _, problem = await world.ask("POST", "/v1/retrievals", json={**ORDER, **change})
    _, _, listed = await world.ask("GET", "/v1/retrievals")

    assert answered == problem["status"] == status
    assert CANARY not in str(problem)
    assert listed["retrievals"] == []


async def test_an_idempotency_key_that_is_none_is_refused(world: World) -> None:
    status, _, _ = await world.ask(
        "POST", "/v1/retrievals", json=ORDER, headers={"Idempotency-Key": "k" * 256}
    )

    assert status == 422


@pytest.mark.parametrize("path", ["", "/items", "/missing", "/events", "/events?follow=false"])
async def test_an_unknown_retrieval_is_not_found(world: World, path: str) -> None:
    status, headers, _ = await world.ask("GET", f"/v1/retrievals/{'0' * 32}{path}")

    assert status == 404
    assert headers["Content-Type"].startswith("application/problem+json")


async def test_retrievals_are_listed_newest_first_by_pages(world: World) -> None:
    made = [await world.order() for _ in range(5)]

    listed: list[str] = []
    cursor = ""
    while True:
        _, _, page = await world.ask("GET", f"/v1/retrievals?limit=2&cursor={cursor}")
        listed += [each["id"] for each in page["retrievals"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert sorted(listed) == sorted(made)
    assert listed == sorted(made, reverse=True)


async def test_items_are_paged(world: World) -> None:
    world.leash.report = full_report()
    world.leash.go.set()
    job_id = await world.order()
    await world.until(job_id, "partial")

    uids: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        _, _, page = await world.ask(
            "GET", f"/v1/retrievals/{job_id}/items?limit=10&cursor={cursor}"
        )
        uids += [item["sop_instance_uid"] for item in page["items"]]
        cursor = page["next"]
        pages += 1
    _, _, probed = await world.ask("GET", f"/v1/retrievals/{job_id}/items?kind=probed")
    _, _, missing = await world.ask("GET", f"/v1/retrievals/{job_id}/missing?limit=1")
    _, _, rest = await world.ask("GET", f"/v1/retrievals/{job_id}/missing?cursor={missing['next']}")
    foreign, _, _ = await world.ask("GET", f"/v1/retrievals?cursor={missing['next']}")

    assert uids == [f"1.2.3.{number}" for number in range(25)]
    assert pages == 3
    assert probed == {"items": [], "next": None}
    assert [each["uid"] for each in missing["missing"] + rest["missing"]] == ["1.9.1", "1.9.2"]
    assert foreign == 422


async def test_a_retrieval_that_has_not_changed_is_not_sent_again(world: World) -> None:
    world.leash.go.set()
    job_id = await world.order()
    async with world.session.get(f"{world.url}/v1/retrievals/{job_id}/events") as stream:
        await stream.read()
    async with asyncio.timeout(DEADLINE_S):
        status = 200
        while status != 304:  # the last change notes that the end was announced
            _, headers, _ = await world.ask("GET", f"/v1/retrievals/{job_id}")
            status, _, _ = await world.ask(
                "GET", f"/v1/retrievals/{job_id}", headers={"If-None-Match": headers["ETag"]}
            )

    assert status == 304


async def test_events_tell_the_progress_and_the_end(world: World) -> None:
    job_id = await world.order()
    names: list[str] = []
    seen = ""

    async with world.session.get(f"{world.url}/v1/retrievals/{job_id}/events") as stream:
        async for raw in stream.content:
            line = raw.decode()
            if line.startswith("event: "):
                names.append(line.removeprefix("event: ").strip())
            seen += line
            if '"landed":3' in line:
                world.leash.go.set()

    assert names[-1] == "end"
    assert set(names[:-1]) == {"progress"}
    assert '"state":"complete"' in seen
    assert len(set(seen.split("\n\n"))) == len(seen.split("\n\n"))


async def test_a_snapshot_of_events_ends_at_once(world: World) -> None:
    job_id = await world.order()

    async with world.session.get(
        f"{world.url}/v1/retrievals/{job_id}/events?follow=false"
    ) as stream:
        text = await stream.text()

    assert text.count("data: ") == 1


async def test_a_running_retrieval_is_cancelled(world: World) -> None:
    job_id = await world.order()
    await world.until(job_id, "running")

    status, _, body = await world.ask("POST", f"/v1/retrievals/{job_id}/cancel")
    await world.until(job_id, "cancelled")
    again, _, _ = await world.ask("POST", f"/v1/retrievals/{job_id}/cancel")

    assert (status, body["cancel_requested"]) == (202, True)
    assert again == 202


async def test_the_document_is_valid_and_the_service_ready(world: World) -> None:
    _, _, document = await world.ask("GET", "/openapi.json")
    status, _, ready = await world.ask("GET", "/readyz")

    validate(document)
    assert "createRetrieval" in str(document)
    assert (status, ready["checks"]) == (200, {"bus": "ok", "key_value": "ok"})


async def test_nothing_of_the_patient_is_logged_or_measured(world: World) -> None:
    world.leash.report = full_report()
    world.leash.go.set()

    with capture_logs() as lines:
        job_id = await world.order(headers={"Idempotency-Key": CANARY})
        await world.until(job_id, "partial")
        await world.ask("POST", "/v1/retrievals", json={**ORDER, "patient_id": f"{CANARY}*"})
        await world.ask(
            "POST",
            "/v1/peers/ARIA/find",
            json={"level": "STUDY", "keys": {"PatientID": CANARY, CANARY: ""}},
        )
        await world.ask("GET", f"/v1/retrievals/{CANARY}")
    async with world.session.get(f"{world.url}/metrics") as response:
        metrics = await response.text()

    assert len(lines) > 4
    assert CANARY not in repr(lines)
    assert CANARY not in metrics
    assert 'retrievals_ended_total{state="partial"} 1.0' in metrics
