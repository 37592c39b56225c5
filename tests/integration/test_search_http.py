"""The tag index over HTTP: landed, announced, indexed, packed, and asked by a real client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from dicomio.http import make_app, serve
from tests.indexer_world import (
    World,
    announce,
    embedded_parts,
    eventually,
    image,
    land,
    plan,
    running,
    structure_set,
)

Pairs = Sequence[tuple[str, str]]


@dataclass
class Client:
    """GET below one address."""

    session: aiohttp.ClientSession
    url: str
    world: World

    async def ask(self, path: str, parameters: Pairs = ()) -> tuple[int, dict[str, object]]:
        async with self.session.get(f"{self.url}{path}?{urlencode(parameters)}") as response:
            body: dict[str, object] = json.loads(await response.text())
            return response.status, body

    async def get(self, path: str, parameters: Pairs = ()) -> dict[str, object]:
        status, body = await self.ask(path, parameters)
        assert status == 200, body
        return body

    async def uids(self, *tags: str, **more: str) -> list[str]:
        parameters = [*(("tag", tag) for tag in tags), *more.items()]
        found = await self.get("/v1/search", parameters)
        return sorted(one["sop_instance_uid"] for one in as_list(found["instances"]))


def as_list(value: object) -> list[dict[str, str]]:
    assert isinstance(value, list)
    return value


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with embedded_parts(tmp_path) as world, running(world):
        app = make_app(
            "indexer",
            "0",
            world.indexer.routes(),
            metrics_registry=world.registry,
            checks=world.indexer.checks(),
        )
        server = await serve(app, "127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:
            client = Client(session, server.url, world)
            await fill(client)
            yield client
        await server.stop()


async def fill(client: Client) -> None:
    """Two patients; a version of one image comes late."""
    store = client.world.store
    landed = [
        land(store, plan("1.2.3.30", structures="1.2.3.20", label="PROST_1")),
        land(store, plan("1.2.3.31", structures="1.2.3.20", label="BREAST")),
        land(store, structure_set("1.2.3.20")),
        *(land(store, image(f"1.2.3.1{n}", note=f"slice {n}")) for n in range(5)),
        land(store, image("1.2.4.10", patient_id="P/2 ü")),
        land(store, image("1.2.3.10", note="again")),
    ]
    for one in landed:
        await announce(client.world.bus, one)
    await client.world.settled(len(landed))


async def test_every_term_has_to_hold(client: Client) -> None:
    assert await client.uids("RTPlanLabel=PROST*") == ["1.2.3.30"]
    assert await client.uids("RTPlanLabel=*", "ApprovalStatus=APPROVED") == ["1.2.3.30", "1.2.3.31"]
    assert await client.uids("RTPlanLabel=PROST_1", "Modality=CT") == []
    assert await client.uids("(300C,0060)/(0008,1155)=1.2.3.20") == ["1.2.3.30", "1.2.3.31"]


async def test_what_is_asked_for_is_told_by_its_name(client: Client) -> None:
    found = await client.get("/v1/search", [("tag", "Modality=RTPLAN"), ("tag", "(300A,0002)=?")])

    told = sorted(
        (one["sop_instance_uid"], json.dumps(one["told"])) for one in as_list(found["instances"])
    )
    assert told == [
        ("1.2.3.30", '[{"tag": "RTPlanLabel", "values": ["PROST_1"]}]'),
        ("1.2.3.31", '[{"tag": "RTPlanLabel", "values": ["BREAST"]}]'),
    ]


async def test_every_version_is_found_by_what_it_says(client: Client) -> None:
    assert await client.uids("SOPInstanceUID=1.2.3.10") == ["1.2.3.10", "1.2.3.10"]
    assert await client.uids("ImageComments=again") == ["1.2.3.10"]


async def test_pages_follow_one_another_until_the_last(client: Client) -> None:
    seen: list[str] = []
    pages = 0
    cursor = ""
    while True:
        page = await client.get(
            "/v1/search", [("tag", "Modality=CT"), ("limit", "3"), ("cursor", cursor)]
        )
        seen += [one["object_key"] for one in as_list(page["instances"])]
        pages += 1
        if page["next"] is None:
            break
        cursor = str(page["next"])

    assert len(seen) == len(set(seen)) == 7
    assert pages == 3


@pytest.mark.parametrize("flag", ["true", "1", ""])
async def test_statistics_count_what_is_found_and_what_there_is(client: Client, flag: str) -> None:
    found = await client.get(
        "/v1/search", [("tag", "Modality=CT"), ("limit", "1"), ("statistics", flag)]
    )

    assert found["statistics"] == {"found": 7, "total": 10}
    assert (await client.get("/v1/search", [("tag", "Modality=CT")]))["statistics"] is None


async def test_filters_leave_one_patient_study_series_or_modality(client: Client) -> None:
    assert await client.uids("SOPClassUID=?", patient_id="P/2 ü") == ["1.2.4.10"]
    assert await client.uids("SOPClassUID=?", patient_id="P-1", modality="RTSTRUCT") == ["1.2.3.20"]
    assert await client.uids("SOPClassUID=?", series_instance_uid="1.2.3.3") == [
        "1.2.3.30",
        "1.2.3.31",
    ]
    assert await client.uids("SOPClassUID=?", study_instance_uid="1.9") == []


async def test_values_are_listed_with_their_counts_page_by_page(client: Client) -> None:
    first = await client.get("/v1/values", [("tag", "Modality=?"), ("limit", "2")])
    second = await client.get(
        "/v1/values", [("tag", "Modality"), ("limit", "2"), ("cursor", str(first["next"]))]
    )

    assert first["tag"] == "Modality"
    assert as_list(first["values"]) + as_list(second["values"]) == [
        {"value": "CT", "number_of_instances": 7},
        {"value": "RTPLAN", "number_of_instances": 2},
        {"value": "RTSTRUCT", "number_of_instances": 1},
    ]
    assert second["next"] is None


async def test_values_of_what_fulfils_terms(client: Client) -> None:
    listed = await client.get(
        "/v1/values", [("tag", "RTPlanLabel"), ("where", "ApprovalStatus=APPROVED")]
    )

    assert [one["value"] for one in as_list(listed["values"])] == ["BREAST", "PROST_1"]


async def test_studies_series_and_instances_are_listed_and_filtered(client: Client) -> None:
    studies = as_list((await client.get("/v1/studies"))["studies"])
    series = as_list((await client.get("/v1/series", [("modality", "CT")]))["series"])
    one = await client.get("/v1/instances", [("modality", "RTSTRUCT")])
    pages = await client.get("/v1/instances", [("limit", "4")])

    assert sorted((s["patient_id"], s["number_of_instances"]) for s in studies) == [
        ("P-1", 8),
        ("P/2 ü", 1),
    ]
    assert sorted((s["patient_id"], s["number_of_instances"]) for s in series) == [
        ("P-1", 5),
        ("P/2 ü", 1),
    ]
    assert [i["sop_instance_uid"] for i in as_list(one["instances"])] == ["1.2.3.20"]
    assert len(as_list(pages["instances"])) == 4
    assert pages["next"] is not None


async def test_patients_are_filtered_by_how_their_id_starts(client: Client) -> None:
    found = await client.get("/v1/patients", [("prefix", "P/")])

    assert [one["patient_id"] for one in as_list(found["patients"])] == ["P/2 ü"]


async def test_a_tree_is_a_page_of_its_own(client: Client) -> None:
    async with client.session.get(f"{client.url}/v1/patients/P-1/tree?format=html") as response:
        page = await response.text()

    assert (response.status, response.content_type) == (200, "text/html")
    assert page.startswith("<!DOCTYPE html>")
    assert "PROST_1" in page


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/v1/search", []),
        ("/v1/search", [("tag", "Nonsense=1")]),
        ("/v1/search", [("tag", "PatientID")]),
        ("/v1/search", [("tag", "PatientID=1"), ("cursor", "x")]),
        ("/v1/search", [("tag", "PatientID=1")] * 33),
        ("/v1/search", [("tag", "PatientID=1"), ("limit", "0")]),
        ("/v1/values", [("tag", "BeamSequence")]),
        ("/v1/values", [("tag", "Modality=CT")]),
        ("/v1/series", [("cursor", "x")]),
    ],
)
async def test_what_cannot_be_understood_is_a_problem(
    client: Client, path: str, parameters: Pairs
) -> None:
    status, problem = await client.ask(path, parameters)

    assert (status, problem["status"]) == (422, 422)


async def test_series_are_packed_when_they_are_quiet_and_answers_stay(client: Client) -> None:
    before = await client.uids("PatientID=*")

    while await client.world.index.pack(quiet_s=-1):
        pass
    late = land(client.world.store, image("1.2.3.99", note="late"))
    await announce(client.world.bus, late)

    async def found() -> bool:
        return await client.uids("ImageComments=late") == ["1.2.3.99"]

    await eventually(found)
    assert await client.uids("PatientID=*") == sorted([*before, "1.2.3.99"])
