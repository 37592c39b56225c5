"""The indexer as a process, killed in the middle of an export: another replica ends it, whole, once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from dicomcore.deident.uid_map import KeyedMap
from dicomcore.events import ExportCompleted
from dicomcore.export import MANIFEST_NAME, parse_manifest
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Store
from dicomio.sql_index import SqlIndex
from indexer.reindex import reindex
from tests import factories
from tests.export_world import landed
from tests.indexer_world import published
from tests.servers.ports import free_ports
from tests.servers.weed import Weed

pytestmark = [
    pytest.mark.server,
    pytest.mark.faults,
    pytest.mark.e2e,
    pytest.mark.timeout(420),
]

PATIENT = factories.small_patient(patient_id="EXPORTED", plans=4, slices=120)
ALL = {str(dataset.SOPInstanceUID) for dataset in PATIENT.datasets}
KEY = "a secret of the clinic, long enough"
DEADLINE_S = 180.0


@dataclass
class Site:
    """Servers, and replicas of the indexer that come and go."""

    folder: Path
    exports: S3Store
    environment: dict[str, str]

    @contextmanager
    def replica(self, name: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
        [port] = free_ports(1)
        (self.folder / f"spool-{name}").mkdir()
        own = {
            "INDEXER_HTTP_PORT": str(port),
            "INDEXER_REPLICA": name,
            "INDEXER_EXPORT_SPOOL_FOLDER": str(self.folder / f"spool-{name}"),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "indexer"],
                env={**os.environ, **self.environment, **own},
                stdout=log,
                stderr=log,
            )
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def staged(self, name: str) -> int:
        return len(list((self.folder / f"spool-{name}").rglob("*.dcm")))

    def written(self) -> list[str]:
        return [stat.key for stat in self.exports.list("exports/")]


async def ask(method: str, url: str, **how: Any) -> Any:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
        session.request(method, url, **how) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json()


async def ready(url: str, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            assert process.poll() is None
            try:
                await ask("GET", f"{url}/readyz")
            except (aiohttp.ClientError, AssertionError):
                await asyncio.sleep(0.1)
            else:
                return


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(happened):
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def site(
    weed: Weed, nats_options: NatsOptions, new_database: Callable[[], str], tmp_path: Path
) -> AsyncIterator[Site]:
    """A patient in object store and index; no indexer runs."""
    options = weed.options(f"export-{uuid.uuid4().hex}")
    store = S3Store(options)
    exports = S3Store(replace(options, bucket=f"{options.bucket}-out"))
    database, key_file = new_database(), tmp_path / "deident.key"
    key_file.write_text(KEY)
    for bucket in (store, exports):
        await asyncio.to_thread(bucket.ensure_bucket)
    await asyncio.to_thread(landed, store, PATIENT.datasets)
    index = await SqlIndex.open(database)
    assert (await reindex(store, index)).indexed == len(ALL)
    await index.close()
    yield Site(
        tmp_path,
        exports,
        {
            "S3_ENDPOINT": options.endpoint,
            "S3_BUCKET": options.bucket,
            "S3_ACCESS_KEY": options.access_key,
            "S3_SECRET_KEY": options.secret_key,
            "S3_SECURE": "false",
            "NATS_SERVERS": ",".join(nats_options.servers),
            "INDEXER_DATABASE_URL": database,
            "INDEXER_EXPORT_BUCKET": f"{options.bucket}-out",
            "INDEXER_EXPORT_LEASE_S": "1.5",
            "INDEXER_EXPORT_ACK_WAIT_S": "2",
            "INDEXER_DEIDENT_KEY_FILE": str(key_file),
        },
    )
    store.close()
    exports.close()


@pytest.mark.parametrize("anonymised", [False, True], ids=["as it is", "anonymised"])
async def test_an_export_survives_the_death_of_the_replicas_that_work_on_it(
    site: Site, nats_options: NatsOptions, anonymised: bool
) -> None:
    # given: an order
    order: dict[str, Any] = {"selection": {"patient": "EXPORTED"}, "destination": {"zip": True}}
    if anonymised:
        order["anonymise"] = {"new_patient_id": "NEW", "allow_burned_in": ["rt_image"]}

    # when: one replica dies while it prepares or writes, the next one while it writes
    with site.replica("first") as (url, process):
        await ready(url, process)
        job = await ask("POST", f"{url}/v1/exports", json=order)
        if anonymised:
            await until(lambda: site.staged("first") > len(ALL) // 3)
        else:
            await until(lambda: len(site.written()) > len(ALL) // 5)
        process.kill()
    with site.replica("second") as (url, process):
        await until(lambda: len(site.written()) > len(ALL) // 2)
        process.kill()
    assert not [key for key in site.written() if key.endswith(MANIFEST_NAME)], "too late"
    with site.replica("third") as (url, process):
        await ready(url, process)
        export = await ended(f"{url}/v1/exports/{job['id']}")

    # then: it is complete, by more than one attempt, and holds every object once
    assert export["state"] == "complete", (export, (site.folder / "third.log").read_text())
    assert export["attempts"] == 3
    prefix = f"exports/default/{job['id']}/"
    manifest = parse_manifest(site.exports.get(prefix + MANIFEST_NAME))
    new = KeyedMap(KEY.encode()).uid if anonymised else str
    assert {entry.sop_instance_uid for entry in manifest.instances} == {new(u) for u in ALL}
    assert set(site.written()) == {
        prefix + name for name in (MANIFEST_NAME, *(e.file for e in manifest.instances))
    }
    bus = await NatsBus.open(nats_options)
    events = await published(bus, ExportCompleted, 1)
    await bus.close()
    assert [event.data["job_id"] for event in events] == [job["id"]]


async def ended(url: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            export: dict[str, Any] = await ask("GET", url)
            if export["state"] not in ("queued", "running"):
                return export
            await asyncio.sleep(0.2)
