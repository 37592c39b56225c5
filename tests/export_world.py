"""Exports on embedded parts, or on real servers: a store with made-up patients, an index, an exporter that answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry
from pydicom import Dataset

from dicomcore.audit import Act
from dicomcore.deident.uid_map import KeyedMap
from dicomcore.export import MANIFEST_NAME, Manifest, parse_manifest
from dicomcore.header import read_header
from dicomcore.keys import object_key
from dicomcore.ports import EventBus, IndexDb, KeyValue, ObjectStore, Pacs
from dicomio.directory_store import DirectoryStore
from dicomio.http import Access, Audited, make_app, serve
from dicomio.http.auth import LOOPBACK_ONLY
from dicomio.jobs.attempt import Pace
from dicomio.jobs.options import WorkerOptions
from dicomio.local_bus import LocalBus
from dicomio.local_kv import LocalKeyValue
from dicomio.peer_book import BUCKET as PEERS_BUCKET
from dicomio.peers import Peers, PeerSettings
from dicomio.sql_index import SqlIndex
from indexer.exporting.maps import MapSink, NoMaps
from indexer.exporting.service import BUCKET, Exporter, ExporterParts
from indexer.reindex import reindex
from tests import factories
from tests.memory_pacs import MemoryPacs

KEY = b"a key of the tests of exports"
PEER = "TPS"
DEADLINE_S = 120.0
UIDS = KeyedMap(KEY)


def landed(store: ObjectStore, datasets: Iterable[Dataset]) -> list[str]:
    """Put data sets where store-scp puts them; return the keys."""
    keys = []
    for dataset in datasets:
        body = factories.part10(dataset)
        header = read_header(body, complete=True)
        assert header is not None
        key = str(object_key(header.ref, hashlib.sha256(body).hexdigest()))
        store.put(key, [body])
        keys.append(key)
    return keys


@dataclass
class ExportWorld:
    """What an exporter works with, and how it is asked."""

    store: ObjectStore
    exports: ObjectStore
    bus: EventBus
    index: IndexDb
    exporter: Exporter
    registry: CollectorRegistry
    pacs: MemoryPacs
    url: str
    session: aiohttp.ClientSession
    acts: list[Act]
    audited: list[Audited]
    said: list[str] = field(default_factory=list)
    """Every answer that was given."""

    async def ask(
        self, method: str, path: str, *, status: int, caller: str = "", **how: Any
    ) -> Any:
        headers = {
            **({"Authorization": f"Bearer {caller}"} if caller else {}),
            **how.pop("headers", {}),
        }
        async with self.session.request(method, self.url + path, headers=headers, **how) as answer:
            text = await answer.text()
            assert answer.status == status, text
            self.said += [text, str(answer.headers)]
            return await answer.json(content_type=None) if text else None

    async def order(
        self,
        selection: dict[str, Any],
        *,
        anonymise: dict[str, Any] | None = None,
        destination: dict[str, Any] | None = None,
        caller: str = "",
        key: str = "",
    ) -> str:
        order = {"selection": selection, "destination": destination or {"zip": True}}
        if anonymise is not None:
            order["anonymise"] = anonymise
        headers = {"Idempotency-Key": key} if key else {}
        created = await self.ask(
            "POST", "/v1/exports", status=202, json=order, caller=caller, headers=headers
        )
        return str(created["id"])

    async def ended(self, job_id: str, *, caller: str = "") -> dict[str, Any]:
        """The export, once it has ended."""
        async with asyncio.timeout(DEADLINE_S):
            await self.follow(job_id, caller=caller)
        found = await self.ask("GET", f"/v1/exports/{job_id}", status=200, caller=caller)
        assert isinstance(found, dict)
        return found

    async def follow(self, job_id: str, *, caller: str = "") -> str:
        """The whole stream of events of an export."""
        headers = {"Authorization": f"Bearer {caller}"} if caller else {}
        url = f"{self.url}/v1/exports/{job_id}/events"
        timeout = aiohttp.ClientTimeout(DEADLINE_S)
        async with self.session.get(url, headers=headers, timeout=timeout) as answer:
            assert answer.status == 200
            text = await answer.text()
            self.said.append(text)
            return text

    async def export(self, selection: dict[str, Any], **how: Any) -> dict[str, Any]:
        return await self.ended(await self.order(selection, **how))

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """What lies below a prefix of the export bucket."""
        return {
            stat.key: self.exports.get(stat.key)
            for stat in self.exports.list(prefix)
            if not stat.key.startswith("instances/")
        }

    def manifest(self, export: dict[str, Any]) -> Manifest:
        return parse_manifest(self.exports.get(export["prefix"] + MANIFEST_NAME))


@dataclass
class Given:
    """What a world is made of that is not the same in every test."""

    key: bytes | None = KEY
    access: Access = LOOPBACK_ONLY
    maps: MapSink = field(default_factory=NoMaps)
    store: ObjectStore | None = None
    exports: ObjectStore | None = None
    bus: EventBus | None = None
    kv: KeyValue | None = None
    spool: Path | None = None
    pacs: Pacs | None = None
    running: bool = True
    url_ttl_s: int = 600


@asynccontextmanager
async def export_world(
    folder: Path, datasets: Iterable[Dataset] = (), given: Given | None = None
) -> AsyncIterator[ExportWorld]:
    """A world with data sets in its store and index."""
    given = given or Given()
    async with AsyncExitStack() as stack:
        store = given.store or DirectoryStore(folder / "objects")
        exports = given.exports or DirectoryStore(folder / "exports")
        stack.callback(store.close)
        stack.callback(exports.close)
        bus = given.bus or await LocalBus.open(folder / "bus.db")
        stack.push_async_callback(bus.close)
        kv = given.kv or await LocalKeyValue.open(folder / "jobs.db", BUCKET)
        stack.push_async_callback(kv.close)
        peers_kv = await LocalKeyValue.open(folder / "jobs.db", PEERS_BUCKET)
        stack.push_async_callback(peers_kv.close)
        index = await SqlIndex.open(folder / "index.db")
        stack.push_async_callback(index.close)
        landed(store, datasets)
        await reindex(store, index)
        pacs, registry = MemoryPacs(()), CollectorRegistry()
        acts: list[Act] = []
        audited: list[Audited] = []
        exporter = Exporter(
            ExporterParts(
                store=store,
                exports=exports,
                bus=bus,
                kv=kv,
                index=index,
                registry=registry,
                peers_kv=peers_kv,
                peers=Peers({PEER: PeerSettings(ae_title="TPS", host="tps.invalid", port=104)}),
                connect=lambda _: given.pacs or pacs,
                key=given.key,
                maps=given.maps,
                spool=given.spool,
                url_ttl_s=given.url_ttl_s,
                options=WorkerOptions(
                    owner="test",
                    jobs=2,
                    pace=Pace(lease_s=5.0, ack_wait_s=5.0, progress_every_s=0.05),
                    retry_s=0.1,
                    record=acts.append,
                ),
            )
        )
        if given.running:
            await stack.enter_async_context(working(exporter))
        app = make_app(
            "indexer",
            "1",
            exporter.routes(),
            metrics_registry=registry,
            checks=exporter.checks(),
            access=given.access,
            audit=audited.append,
        )
        server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
        stack.push_async_callback(server.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield ExportWorld(
            store=store,
            exports=exports,
            bus=bus,
            index=index,
            exporter=exporter,
            registry=registry,
            pacs=pacs,
            url=server.url,
            session=session,
            acts=acts,
            audited=audited,
        )


@asynccontextmanager
async def working(exporter: Exporter) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(exporter.run())
        try:
            yield
        finally:
            exporter.stop()
