"""The indexer's HTTP interface, asked by a real client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from dicomio.http import make_app, serve
from indexer.reindex import reindex
from tests.indexer_world import (
    World,
    embedded_parts,
    eventually,
    image,
    land,
    land_bytes,
    plan,
    running,
    structure_set,
)


@dataclass
class Client:
    """GET and POST below one address; paths are sent as they are given."""

    session: aiohttp.ClientSession
    url: str
    world: World

    async def get(self, path: str) -> tuple[int, str, str]:
        async with self.session.get(URL(self.url + path, encoded=True)) as response:
            return response.status, response.content_type, await response.text()

    async def json(self, path: str) -> object:
        status, media_type, body = await self.get(path)
        assert (status, media_type) == (200, "application/json"), body
        return json.loads(body)

    async def problem(self, path: str) -> dict[str, object]:
        _, media_type, body = await self.get(path)
        assert media_type == "application/problem+json", body
        problem: dict[str, object] = json.loads(body)
        return problem


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
            yield Client(session, server.url, world)
        await server.stop()


STRANGE_IDS = [
    "A/1",
    "a b",
    "100%",
    "Ünïcödé 患者",
    "?x=1&y#z",
    "%2F",
    "A\\B",
    "a+b",
    "'\"<>",
]


async def structures_in_tree(client: Client, patient_id: str, path: str) -> list[str]:
    """Land a plan with its structure set, and return the structure sets of the tree at `path`."""
    world = client.world
    land(world.store, plan("1.2.3.30", structures="1.2.3.20", patient_id=patient_id))
    land(world.store, structure_set("1.2.3.20", patient_id=patient_id))
    await reindex(world.store, world.index)
    tree = await client.json(path)
    assert isinstance(tree, dict)
    assert tree["patient_id"] == patient_id
    [node] = tree["plans"]
    return [s["instance"]["ref"]["sop_instance_uid"] for s in node["structure_sets"]]


@pytest.mark.parametrize("patient_id", STRANGE_IDS)
async def test_a_patient_of_any_id_has_a_tree_under_a_path(client: Client, patient_id: str) -> None:
    path = f"/v1/patients/{quote(patient_id, safe='')}/tree"

    assert await structures_in_tree(client, patient_id, path) == ["1.2.3.20"]


@pytest.mark.parametrize("patient_id", [*STRANGE_IDS, ".", ".."])  # no path can hold dots alone
async def test_a_patient_of_any_id_has_a_tree_under_a_query(
    client: Client, patient_id: str
) -> None:
    path = f"/v1/trees?patient_id={quote(patient_id, safe='')}"

    assert await structures_in_tree(client, patient_id, path) == ["1.2.3.20"]


async def test_the_patient_without_an_id_is_listed_and_has_a_tree(client: Client) -> None:
    land(client.world.store, image("1.2.3.10", patient_id=""))
    await reindex(client.world.store, client.world.index)

    listed = await client.json("/v1/patients")
    tree = await client.json("/v1/trees?patient_id=")

    assert isinstance(listed, dict)
    assert isinstance(tree, dict)
    assert [one["patient_id"] for one in listed["patients"]] == [""]
    assert tree["number_of_instances"] == 1


async def test_a_tree_as_text(client: Client) -> None:
    land(client.world.store, plan("1.2.3.30", structures="1.2.3.20", label="Prostate"))
    await reindex(client.world.store, client.world.index)

    status, media_type, body = await client.get("/v1/patients/P-1/tree?format=text")

    assert (status, media_type) == (200, "text/plain")
    lines = body.splitlines()
    assert lines[0] == "Patient: P-1"
    assert lines[1].startswith("  Plan: Prostate")
    assert "1.2.3.20" in body  # the structure set that is missing, by UID


async def test_patients_are_paged(client: Client) -> None:
    for n in range(5):
        land(client.world.store, image(f"1.2.3.{n}", patient_id=f"P/{n}"))
    await reindex(client.world.store, client.world.index)

    seen: list[str] = []
    path = "/v1/patients?limit=2"
    pages = 0
    while path:
        page = await client.json(path)
        assert isinstance(page, dict)
        seen += [one["patient_id"] for one in page["patients"]]
        path = f"/v1/patients?limit=2&cursor={page['next']}" if page["next"] else ""
        pages += 1

    assert seen == [f"P/{n}" for n in range(5)]
    assert pages == 3


async def test_an_instance_shows_versions_references_and_conflict(client: Client) -> None:
    store = client.world.store
    land(store, plan("1.2.3.30", structures="1.2.3.20"))
    land(store, structure_set("1.2.3.20"))
    land_bytes(store, "1.2.3.20", b"garbage", series="1.2.3.2")
    await reindex(store, client.world.index)

    structures = await client.json("/v1/instances/1.2.3.20")
    the_plan = await client.json("/v1/instances/1.2.3.30")

    assert isinstance(structures, dict)
    assert isinstance(the_plan, dict)
    assert structures["conflict"] is True
    assert sorted(bool(v["problem"]) for v in structures["versions"]) == [False, True]
    [incoming] = structures["referenced_by"]
    assert (incoming["sop_instance_uid"], incoming["relation"]) == ("1.2.3.30", "structure_set")
    [version] = the_plan["versions"]
    assert the_plan["conflict"] is False
    assert [r["uid"] for r in version["header"]["references"]] == ["1.2.3.20"]
    assert version["header"]["details"]["approval_status"] == "APPROVED"


async def test_a_conflict_is_marked_in_the_tree(client: Client) -> None:
    store = client.world.store
    land(store, plan("1.2.3.30", structures="1.2.3.20"))
    land_bytes(store, "1.2.3.30", b"garbage", series="1.2.3.3")
    await reindex(store, client.world.index)

    tree = await client.json("/v1/patients/P-1/tree")

    assert isinstance(tree, dict)
    assert tree["plans"][0]["instance"]["conflict"] is True


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/patients/nobody/tree", 404),
        ("/v1/trees?patient_id=nobody", 404),
        ("/v1/trees", 422),
        ("/v1/instances/1.2.3.4.5", 404),
        ("/v1/instances/not-a-uid", 422),
        ("/v1/instances/" + "1" * 65, 422),
        ("/v1/patients?limit=0", 422),
        ("/v1/patients?cursor=x", 422),
        ("/v1/patients/P-1/tree?format=xml", 422),
        ("/v1/nothing", 404),
    ],
)
async def test_what_is_unknown_or_unfit_is_a_problem(
    client: Client, path: str, status: int
) -> None:
    problem = await client.problem(path)

    assert problem["status"] == status
    assert "nobody" not in json.dumps(problem)


@pytest.mark.parametrize(
    "path", ["/v1/patients/%FF/tree", "/v1/patients/%00/tree", "/v1/patients/%ED%A0%80/tree"]
)
async def test_a_path_that_is_no_text_is_an_unknown_patient(client: Client, path: str) -> None:
    status, _, _ = await client.get(path)

    assert status in (400, 404, 422)


async def test_stats_count_the_index(client: Client) -> None:
    store = client.world.store
    land(store, image("1.2.3.10"))
    land(store, image("1.2.3.10", note="again"))
    land_bytes(store, "1.2.3.66", b"garbage")
    await reindex(store, client.world.index)

    assert await client.json("/v1/stats") == {
        "patients": 1,
        "instances": 3,
        "unreadable": 1,
        "conflicts": 1,
    }


async def test_a_rebuild_runs_in_the_background(client: Client) -> None:
    land(client.world.store, image("1.2.3.10"))
    assert (await _report(client))["state"] == "never"

    async with client.session.post(client.url + "/v1/reindex", json={"clear": True}) as accepted:
        assert accepted.status == 202
        assert accepted.headers["Location"] == "/v1/reindex"

    async def ended() -> bool:
        return (await _report(client))["state"] != "running"

    await eventually(ended)
    report = await _report(client)
    assert (report["state"], report["objects_indexed"], report["cleared"]) == ("complete", 1, True)
    assert await client.world.instances() == 1


async def test_a_rebuild_without_a_store_fails_and_says_why(client: Client) -> None:
    client.world.store.is_away = True
    async with client.session.post(client.url + "/v1/reindex", json={}) as accepted:
        assert accepted.status == 202

    async def ended() -> bool:
        return (await _report(client))["state"] != "running"

    await eventually(ended)
    report = await _report(client)
    assert (report["state"], report["problem"]) == ("failed", "the object store is away")


async def test_it_is_ready_while_its_parts_answer(client: Client) -> None:
    assert (await client.get("/readyz"))[0] == 200

    await client.world.bus.close()

    assert (await client.get("/readyz"))[0] == 503


async def _report(client: Client) -> dict[str, object]:
    report = await client.json("/v1/reindex")
    assert isinstance(report, dict)
    return report
