"""Exports of one tenant are nobody else's, and what a role does not give is refused."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dicomcore.errors import InvalidRequest
from dicomio.http import Access, BearerToken, Role
from tests import factories
from tests.export_world import ExportWorld, Given, export_world

PATIENT = factories.small_patient(plans=1)
ORDER = {"selection": {"patient": PATIENT.patient_id}, "destination": {"zip": True}}
OF_ONE = (
    ("GET", ""),
    ("GET", "/events"),
    ("GET", "/manifest"),
    ("GET", "/items"),
    ("GET", "/zip"),
    ("POST", "/cancel"),
)


def token(name: str, role: Role, tenant: str) -> BearerToken:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return BearerToken(digest, name=name, roles=frozenset({role}), tenant=tenant)


ACCESS = Access(
    tokens=(
        token("north", Role.EXPORTER, "north"),
        token("south", Role.EXPORTER, "south"),
        token("south-admin", Role.ADMIN, "south"),
        token("north-reader", Role.READER, "north"),
    )
)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[ExportWorld]:
    async with export_world(tmp_path, PATIENT.datasets, Given(access=ACCESS)) as made:
        yield made


async def test_an_export_lies_below_the_prefix_of_the_callers_tenant(world: ExportWorld) -> None:
    for tenant in ("north", "south"):
        job_id = await world.order(ORDER["selection"], caller=tenant)
        export = await world.ended(job_id, caller=tenant)

        assert export["tenant"] == tenant
        assert export["prefix"] == f"exports/{tenant}/{job_id}/"
        assert world.objects(f"exports/{tenant}/")


async def test_of_another_tenants_export_it_is_not_even_said_that_it_is_there(
    world: ExportWorld,
) -> None:
    job_id = await world.order(ORDER["selection"], caller="north")
    await world.ended(job_id, caller="north")

    for stranger in ("south", "south-admin"):
        listed = await world.ask("GET", "/v1/exports", status=200, caller=stranger)
        assert listed["exports"] == []
        for method, path in OF_ONE:
            here = f"/v1/exports/{job_id}{path}"
            nowhere = f"/v1/exports/{'0' * 32}{path}"
            there = await world.ask(method, here, status=404, caller=stranger)
            absent = await world.ask(method, nowhere, status=404, caller=stranger)
            assert {**there, "request_id": ""} == {**absent, "request_id": ""}
    own = await world.ask("GET", "/v1/exports", status=200, caller="north")
    assert [one["id"] for one in own["exports"]] == [job_id]


async def test_pages_hold_a_tenants_own_exports_however_many_others_have(
    world: ExportWorld,
) -> None:
    own = []
    for number in range(3):
        for _ in range(4):
            await world.order({"instances": ["1.2.3"]}, caller="south")
        own.append(await world.order({"instances": [f"1.2.{number}"]}, caller="north"))

    shown: list[str] = []
    cursor = ""
    while cursor is not None:
        params = {"limit": "2", "cursor": cursor}
        page = await world.ask("GET", "/v1/exports", status=200, caller="north", params=params)
        shown += [one["id"] for one in page["exports"]]
        cursor = page["next"]

    assert shown == own[::-1]


async def test_idempotency_keys_of_two_tenants_are_two_keys(world: ExportWorld) -> None:
    north = await world.order(ORDER["selection"], caller="north", key="nightly")
    south = await world.order({"instances": ["1.2.3"]}, caller="south", key="nightly")

    assert north != south
    assert north == await world.order(ORDER["selection"], caller="north", key="nightly")


async def test_a_reader_sees_how_it_goes_and_neither_orders_nor_fetches(
    world: ExportWorld,
) -> None:
    await world.ask("POST", "/v1/exports", status=403, caller="north-reader", json=ORDER)
    job_id = await world.order(ORDER["selection"], caller="north")

    seen = await world.ended(job_id, caller="north-reader")

    assert seen["state"] == "complete"
    for method, path in OF_ONE[2:]:
        url = f"/v1/exports/{job_id}{path}"
        await world.ask(method, url, status=403, caller="north-reader")
        await world.ask(method, url, status=401)


@pytest.mark.parametrize("name", ["", "North", "a/b", "..", "-a", "a" * 64, "nörth"])
def test_a_tenant_is_a_name_that_can_be_part_of_a_key(name: str) -> None:
    with pytest.raises(InvalidRequest):
        token("x", Role.EXPORTER, name)
