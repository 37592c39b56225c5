"""The three services in one process, on folders and SQLite: for one machine, without any server."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry

from dicomio.audit import AuditOptions, AuditTrail
from dicomio.bridge import Bridge
from dicomio.directory_store import DirectoryStore
from dicomio.http import Check, make_app, serve
from dicomio.http.auth import LOOPBACK_ONLY
from dicomio.jobs.options import WorkerOptions
from dicomio.landing import Announcer, Lander, Publish
from dicomio.local_bus import LocalBus
from dicomio.local_kv import LocalKeyValue
from dicomio.logs import set_level
from dicomio.metrics import new_registry
from dicomio.peers import Peers, PeerSettings
from dicomio.sql_index import SqlIndex
from indexer.app import Indexer
from indexer.exporting.service import BUCKET as EXPORTS
from indexer.exporting.service import Exporter, ExporterParts
from qr_gateway.diagnosis import Receiver
from qr_gateway.front import Front
from qr_gateway.gateway import BUCKET, Gateway, GatewayParts
from qr_gateway.receiving import receiver
from store_scp.metrics import ScpMetrics
from store_scp.options import ScpOptions
from store_scp.server import StoreScp

LOOPBACK = "127.0.0.1"
HIGH_WATER = 0.95
PUBLISH_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class SystemOptions:
    """One system on one machine."""

    data: Path
    """Everything that is kept is below it."""
    http_port: int = 0
    """0: any free one."""
    dicom_port: int = 0
    ae_title: str = "DICOMTOOLS"
    peers: Mapping[str, PeerSettings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """A system that answers."""

    http_url: str
    dicom_port: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is on disk."""

    store: DirectoryStore
    exported: DirectoryStore
    bus: LocalBus
    jobs: LocalKeyValue
    exports: LocalKeyValue
    index: SqlIndex


@dataclass(frozen=True, slots=True)
class _Services:
    """What runs on the loop."""

    indexer: Indexer
    gateway: Gateway
    exporter: Exporter


@asynccontextmanager
async def running_system(options: SystemOptions) -> AsyncIterator[RunningSystem]:
    """Run store-scp, indexer and qr-gateway inside a `with` block, on loopback only.

    Leaving the block ends in order: no new requests, running retrievals back into the queue,
    associations finish, what is announced is written to the index, files are closed.

    Raises
    ------
    Unavailable
        A port cannot be bound, or the data folder cannot be used.
    """
    registry = new_registry("dicomtools", version("dicomtools"))
    async with AsyncExitStack() as stack:
        kept = await _opened(options.data, stack)
        bridge = Bridge(asyncio.get_running_loop())
        stack.push_async_callback(bridge.close)
        trail = await stack.enter_async_context(_trail(options.data, registry))
        lander = _lander(kept)
        scp = StoreScp(
            _scp_options(options),
            lander.land,
            metrics=ScpMetrics(registry),
            record=trail.record,
        )
        indexer = Indexer(
            store=kept.store, bus=kept.bus, index=kept.index, bridge=bridge, registry=registry
        )
        gateway = Gateway(
            GatewayParts(
                peers=Peers(options.peers, move_destination=options.ae_title),
                store=kept.store,
                bus=kept.bus,
                kv=kept.jobs,
                receive=receiver(lander),
                registry=registry,
                options=WorkerOptions(record=trail.record),
                receiver=lambda: Receiver(options.ae_title, LOOPBACK, scp.port),
                set_log_level=set_level,
                history=trail.history,
            )
        )
        exporter = await _exporter(options, kept, trail, registry)
        front = Front(LOOPBACK_ONLY, version("dicomtools"))
        stack.push_async_callback(front.close)
        async with _working(_Services(indexer, gateway, exporter), scp, bridge):
            app = make_app(
                "DicomTools",
                version("dicomtools"),
                (*front.routes(), *indexer.routes(), *exporter.routes(), *gateway.routes()),
                metrics_registry=registry,
                checks={
                    **indexer.checks(),
                    **exporter.checks(),
                    **gateway.checks(),
                    "dicom": _accepting(scp),
                },
                audit=trail.http,
                mounts=front.mounts(),
            )
            http = await serve(app, LOOPBACK, options.http_port)
            try:
                yield RunningSystem(http_url=http.url, dicom_port=scp.port)
            finally:
                await http.stop()


@asynccontextmanager
async def _working(services: _Services, scp: StoreScp, bridge: Bridge) -> AsyncIterator[None]:
    """Run the services inside the block; one that fails takes the others, and the block, with it."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(services.indexer.run())
            group.create_task(services.gateway.run())
            group.create_task(services.exporter.run())
            try:
                await bridge.run(scp.start)
                yield
            finally:
                services.gateway.stop()
                services.exporter.stop()
                # handlers still announce while their associations finish: the loop goes on
                await asyncio.to_thread(scp.stop)
                services.indexer.stop()
    except BaseExceptionGroup as group_of_errors:
        # What ended the block is not hidden in a group, where the caller would not find it.
        if len(group_of_errors.exceptions) == 1:
            raise group_of_errors.exceptions[0] from None
        raise


async def _opened(data: Path, stack: AsyncExitStack) -> _Kept:
    store = await asyncio.to_thread(DirectoryStore, data / "objects")
    stack.callback(store.close)
    exported = await asyncio.to_thread(DirectoryStore, data / "exported")
    stack.callback(exported.close)
    bus = await LocalBus.open(data / "events.db")
    stack.push_async_callback(bus.close)
    jobs = await LocalKeyValue.open(data / "jobs.db", BUCKET)
    stack.push_async_callback(jobs.close)
    index = await SqlIndex.open(data / "index.db")
    stack.push_async_callback(index.close)
    exports = await LocalKeyValue.open(data / "jobs.db", EXPORTS)
    stack.push_async_callback(exports.close)
    return _Kept(store, exported, bus, jobs, exports, index)


async def _exporter(
    options: SystemOptions, kept: _Kept, trail: AuditTrail, registry: CollectorRegistry
) -> Exporter:
    """Return what exports, with a key that never leaves this folder: the same names every time."""
    spool = options.data / "spool"
    await asyncio.to_thread(spool.mkdir, mode=0o700, exist_ok=True)
    return Exporter(
        ExporterParts(
            store=kept.store,
            exports=kept.exported,
            bus=kept.bus,
            kv=kept.exports,
            index=kept.index,
            registry=registry,
            peers=Peers(options.peers),
            peers_kv=kept.jobs,
            key=await asyncio.to_thread(_kept_key, options.data / "deident.key"),
            spool=spool,
            options=WorkerOptions(jobs=2, record=trail.record),
        )
    )


@asynccontextmanager
async def _trail(data: Path, registry: CollectorRegistry) -> AsyncIterator[AuditTrail]:
    """Keep an audit trail in a file of its own, with a key that never leaves this folder."""
    key = await asyncio.to_thread(_kept_key, data / "audit.key")
    bus = await LocalBus.open(data / "audit.db")
    try:
        trail = AuditTrail(
            bus,
            observer="dicomtools",
            options=AuditOptions(key=key),
            registry=registry,
            history=bus,
        )
        try:
            yield trail
        finally:
            await trail.close()
    finally:
        await bus.close()


def _kept_key(path: Path) -> bytes:
    """Return the key that is kept there; made at the first start, for its owner only."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
        fresh.replace(path)  # whole or not at all
    return path.read_bytes()


def _lander(kept: _Kept) -> Lander:
    announcer = Announcer(kept.store, _publishing(kept.bus), source="dicomtools")
    return Lander(kept.store, announcer.announce, high_water=HIGH_WATER)


def _publishing(bus: LocalBus) -> Publish:
    def publish(subject: str, body: bytes, message_id: str) -> bool:
        return bus.publish_from_thread(
            subject, body, message_id=message_id, timeout_s=PUBLISH_TIMEOUT_S
        )

    return publish


def _scp_options(options: SystemOptions) -> ScpOptions:
    return ScpOptions(
        ae_title=options.ae_title,
        host=LOOPBACK,
        port=options.dicom_port,
        require_called_ae_title=True,
    )


def _accepting(scp: StoreScp) -> Check:
    async def check() -> bool:
        return scp.accepting

    return check
