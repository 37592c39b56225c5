"""Exports on S3 and NATS: the same as on folders, and files that anyone with their address may fetch."""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from dicomcore.export import MANIFEST_NAME
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.nats_kv import NatsKeyValue
from dicomio.s3_store import S3Store
from indexer.exporting.service import BUCKET
from tests import factories
from tests.export_world import UIDS, ExportWorld, Given, export_world
from tests.servers.weed import Weed

pytestmark = pytest.mark.server

PATIENT = factories.small_patient(plans=1)
PLAN = next(PATIENT.plans_with("PLAN_1"))
ANONYMISED = {"new_patient_id": "NEW", "allow_burned_in": ["rt_image"]}


@pytest_asyncio.fixture
async def world(
    weed: Weed, nats_options: NatsOptions, tmp_path: Path
) -> AsyncIterator[ExportWorld]:
    options = weed.options(f"exports-{uuid.uuid4().hex}")
    store, exports = S3Store(options), S3Store(replace(options, bucket=f"{options.bucket}-out"))
    for bucket in (store, exports):
        await asyncio.to_thread(bucket.ensure_bucket)
    given = Given(
        store=store,
        exports=exports,
        bus=await NatsBus.open(nats_options),
        kv=await NatsKeyValue.open(nats_options, BUCKET),
    )
    async with export_world(tmp_path, PATIENT.datasets, given) as made:
        yield made


@pytest.mark.parametrize("anonymise", [None, ANONYMISED], ids=["as it is", "anonymised"])
async def test_an_export_is_in_its_bucket_and_every_file_can_be_fetched_by_its_address(
    world: ExportWorld, anonymise: dict[str, Any] | None
) -> None:
    export = await world.export({"plans": [PLAN.sop_instance_uid]}, anonymise=anonymise)

    new = str if anonymise is None else UIDS.uid
    page = await world.ask("GET", f"/v1/exports/{export['id']}/items", status=200)
    assert {item["sop_instance_uid"] for item in page["items"]} == {new(u) for u in PLAN.roles}
    for item in page["items"]:
        # without any token of ours
        async with aiohttp.ClientSession() as stranger, stranger.get(item["url"]) as answer:
            assert answer.status == 200
            body = await answer.read()
        assert hashlib.sha256(body).hexdigest() == item["sha256"]
    assert not list(world.store.list("exports/"))


async def test_the_archive_comes_from_the_bucket(world: ExportWorld) -> None:
    export = await world.export({"patient": PATIENT.patient_id})

    async with world.session.get(f"{world.url}/v1/exports/{export['id']}/zip") as answer:
        archive = zipfile.ZipFile(io.BytesIO(await answer.read()))

    assert archive.testzip() is None
    assert len(archive.namelist()) == len(PATIENT.datasets) + 1


async def test_a_cancelled_export_ends_and_leaves_nothing_or_is_complete(
    world: ExportWorld,
) -> None:
    """Which of the two is a matter of time; something in between there is not."""
    job_id = await world.order({"patient": PATIENT.patient_id})
    await world.ask("POST", f"/v1/exports/{job_id}/cancel", status=202)

    export = await world.ended(job_id)

    keys = list(world.objects(f"exports/default/{job_id}/"))
    if export["state"] == "cancelled":
        assert keys == []
    else:
        assert export["state"] == "complete"
        assert f"exports/default/{job_id}/{MANIFEST_NAME}" in keys
        assert len(keys) == len(PATIENT.datasets) + 1
