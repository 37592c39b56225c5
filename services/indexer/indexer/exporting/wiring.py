"""Exports on S3 and NATS: buckets, ledger and secrets put together from settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import structlog
from prometheus_client import CollectorRegistry

from dicomcore.errors import Unavailable
from dicomcore.ports import EventBus, IndexDb
from dicomio.bridge import Bridge
from dicomio.jobs.options import WorkerOptions
from dicomio.nats_connection import NatsOptions
from dicomio.nats_kv import NatsKeyValue
from dicomio.peer_book import BUCKET as PEERS_BUCKET
from dicomio.s3_store import S3Options, S3Store
from indexer.exporting.maps import APART, MapSink, NoMaps, PlainMaps, SealedMaps
from indexer.exporting.service import BUCKET, Exporter, ExporterParts
from indexer.exporting.settings import ExportSettings

log = structlog.get_logger(__name__)

BUCKET_RETRY_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the indexer has already; it stays the caller's."""

    store: S3Store
    s3: S3Options
    nats: NatsOptions
    bus: EventBus
    index: IndexDb
    bridge: Bridge
    registry: CollectorRegistry


@asynccontextmanager
async def exporter_on(
    around: Surroundings, settings: ExportSettings, worker: WorkerOptions
) -> AsyncIterator[Exporter]:
    """Yield the exporter; what it needs more than the indexer has is closed at the end.

    Raises
    ------
    InvalidRequest
        A setting cannot be used: the key, a certificate, a bucket's name, the peers.
    """
    key, recipients, peers = (
        settings.deident_key(),
        settings.map_recipients(),
        settings.known_peers(),
    )
    async with AsyncExitStack() as stack:
        exports = _bucket(around, settings.export_bucket, stack)
        apart = settings.export_map_bucket
        maps = _bucket(around, apart, stack) if apart else exports
        sink: MapSink = NoMaps()
        if recipients:
            sink = SealedMaps(maps, recipients)
        elif apart:
            sink = PlainMaps(maps, APART)
        kv = await NatsKeyValue.open(around.nats, BUCKET, required=False)
        stack.push_async_callback(kv.close)
        peers_kv = await NatsKeyValue.open(around.nats, PEERS_BUCKET, required=False)
        stack.push_async_callback(peers_kv.close)
        for bucket in {exports, maps} - {around.store}:
            making = asyncio.create_task(_ensured(around.bridge, bucket))
            stack.push_async_callback(_ended, making)
        yield Exporter(
            ExporterParts(
                store=around.store,
                exports=exports,
                bus=around.bus,
                kv=kv,
                index=around.index,
                registry=around.registry,
                peers=peers,
                peers_kv=peers_kv,
                key=key,
                maps=sink,
                spool=settings.export_spool_folder,
                url_ttl_s=settings.export_url_ttl_s,
                options=worker,
            )
        )


def _bucket(around: Surroundings, name: str, stack: AsyncExitStack) -> S3Store:
    if name in ("", around.s3.bucket):
        return around.store
    # what instances may fill says nothing about another bucket
    store = S3Store(replace(around.s3, bucket=name, capacity_bytes=None))
    stack.callback(store.close)
    return store


async def _ensured(bridge: Bridge, store: S3Store) -> None:
    """Make a bucket as soon as the object store answers."""
    while True:
        try:
            await bridge.run(store.ensure_bucket)
        except Unavailable as exc:
            log.warning("bucket_not_ready", problem=exc.sentence)
            await asyncio.sleep(BUCKET_RETRY_S)
        else:
            return


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
