"""The indexer as a process on SeaweedFS, NATS and PostgreSQL, killed again and again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from dicomcore.errors import BusUnavailable
from dicomcore.events import InstanceConflict, InstanceStored, InstanceUnreadable, decode
from dicomcore.keys import OUTBOX
from dicomcore.received import StoredInstance
from dicomio.landing import Announcer
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Store
from dicomio.sql_index import SqlIndex
from tests.indexer_world import (
    Landed,
    announce,
    content_of,
    eventually,
    image,
    land,
    land_bytes,
    plan,
    published,
    structure_set,
)
from tests.servers.ports import free_ports
from tests.servers.weed import Weed

pytestmark = [pytest.mark.server, pytest.mark.faults, pytest.mark.e2e]

STOP_S = 60


@dataclass
class Process:
    """One replica; `environment` is all it is told."""

    environment: dict[str, str]
    log: Path

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "indexer", *arguments],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['INDEXER_HTTP_PORT']}"


@pytest.fixture
def bucket() -> str:
    return f"index-{uuid.uuid4().hex}"


@pytest.fixture
def store(weed: Weed, bucket: str) -> Iterator[S3Store]:
    opened = S3Store(weed.options(bucket))
    opened.ensure_bucket()
    yield opened
    opened.close()


@pytest.fixture
async def bus(nats_options: NatsOptions) -> AsyncIterator[NatsBus]:
    opened = await NatsBus.open(nats_options)
    yield opened
    await opened.close()


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
async def index(database: str) -> AsyncIterator[SqlIndex]:
    opened = await SqlIndex.open(database)
    yield opened
    await opened.close()


@pytest.fixture
def indexer(
    weed: Weed, bucket: str, nats_options: NatsOptions, database: str, tmp_path: Path
) -> Process:
    options = weed.options(bucket)
    [port] = free_ports(1)
    return Process(
        {
            "S3_ENDPOINT": options.endpoint,
            "S3_BUCKET": options.bucket,
            "S3_ACCESS_KEY": options.access_key,
            "S3_SECRET_KEY": options.secret_key,
            "S3_SECURE": "false",
            "NATS_SERVERS": ",".join(nats_options.servers),
            "INDEXER_DATABASE_URL": database,
            "INDEXER_HTTP_PORT": str(port),
            "INDEXER_BATCH": "8",
            "INDEXER_ACK_WAIT_S": "2",
            "INDEXER_SWEEP_EVERY_S": "0.5",
        },
        tmp_path / "indexer.log",
    )


async def test_killed_in_the_middle_the_index_is_complete_and_nothing_is_twice(
    indexer: Process, store: S3Store, bus: NatsBus, index: SqlIndex, tmp_path: Path
) -> None:
    # given: re-sent versions, garbage, references, and some announced only in the outbox
    landed = await asyncio.to_thread(_many, store)
    announced, waiting = landed[10:], landed[:10]
    await asyncio.to_thread(_to_outbox, store, waiting)
    rounds = [announced[i::4] for i in range(4)]

    # when: three replicas in a row are killed at work, and a fourth one finishes
    for number, some in enumerate(rounds):
        before = (await index.counts()).instances
        with indexer.running() as process:
            for one in some:
                await announce(bus, one)
                if one.uid.endswith("7"):
                    await announce(bus, one, again=1)
            await _until_more_than(index, before)
            if number < 3:
                process.kill()
                continue
            await _until_more_than(index, len(landed) - 1)
            conflicts = await published(bus, InstanceConflict, 12)
            unreadable = await published(bus, InstanceUnreadable, 3)
            stats = await _stats(indexer)
            process.terminate()
            code = await asyncio.to_thread(process.wait, STOP_S)

    # then
    assert code == 0, indexer.log.read_text()
    assert stats == {"patients": 3, "instances": len(landed), "unreadable": 3, "conflicts": 12}
    assert len({str(event.data["sop_instance_uid"]) for event in conflicts}) == 12
    assert len({str(event.data["object_key"]) for event in unreadable}) == 3
    assert not list(store.list(OUTBOX))
    uids = [one.uid for one in landed]
    rebuilt = f"sqlite:///{tmp_path}/rebuilt.db"
    indexer.environment["INDEXER_DATABASE_URL"] = rebuilt
    with indexer.running("reindex") as process:
        assert await asyncio.to_thread(process.wait, STOP_S) == 0, indexer.log.read_text()
    again = await SqlIndex.open(rebuilt)
    assert await content_of(again, uids) == await content_of(index, uids)
    await again.close()
    assert "Made^Up" not in indexer.log.read_text()


async def test_it_waits_for_its_database_and_heeds_sigterm_meanwhile(
    indexer: Process, tmp_path: Path
) -> None:
    indexer.environment["INDEXER_DATABASE_URL"] = f"postgresql://postgres@/x?host={tmp_path}"

    with indexer.running() as process:

        async def waits() -> bool:
            return "index_unavailable" in indexer.log.read_text()

        await eventually(waits)
        assert process.poll() is None
        process.terminate()
        code = await asyncio.to_thread(process.wait, STOP_S)

    assert code == 0


def _many(store: S3Store) -> list[Landed]:
    """160 objects of three patients: 12 UIDs with two versions, three files of garbage."""
    landed = [
        land(store, image(f"1.2.3.1.{n}", patient_id=f"P-{n % 3}"), minute=1) for n in range(105)
    ]
    landed += [
        land(store, image(f"1.2.3.1.{n}", patient_id=f"P-{n % 3}", note="again"), minute=2)
        for n in range(0, 48, 4)
    ]
    landed += [land(store, structure_set(f"1.2.3.2.{n}")) for n in range(20)]
    landed += [
        land(store, plan(f"1.2.3.3.{n}", structures=f"1.2.3.2.{n}", label=f"L{n}"))
        for n in range(20)
    ]
    landed += [land_bytes(store, f"1.2.3.6.{n}", b"garbage" * n) for n in range(3)]
    return landed


def _to_outbox(store: S3Store, landed: list[Landed]) -> None:
    """Announce as store-scp does while NATS is away."""

    def away(_subject: str, _body: bytes, _message_id: str) -> bool:
        raise BusUnavailable("away")

    announcer = Announcer(store, away)
    for one in landed:
        event = decode(one.event, InstanceStored)
        stored = StoredInstance(
            key=one.key,
            sop_class_uid=event.sop_class_uid,
            transfer_syntax_uid=event.transfer_syntax_uid,
            sha256=event.sha256,
            size_bytes=event.size_bytes,
            stored_at=datetime(2024, 1, 1, tzinfo=UTC),
            created=True,
        )
        announcer.announce(stored)


async def _until_more_than(index: SqlIndex, number: int) -> None:
    async def more() -> bool:
        return (await index.counts()).instances > number

    await eventually(more)


async def _stats(indexer: Process) -> object:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{indexer.url}/v1/stats") as response,
    ):
        return await response.json()
