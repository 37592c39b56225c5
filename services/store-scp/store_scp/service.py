"""store-scp in its surroundings: SCP, object store, bus and probes, started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import structlog

from dicomcore.errors import Unavailable
from dicomcore.ports import EventBus
from dicomio.audit import AuditOptions
from dicomio.bridge import Bridge
from dicomio.http import Check, make_app, serve
from dicomio.landing import Announcer, Lander
from dicomio.metrics import new_registry
from dicomio.nats_audit import nats_trail
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.s3_store import S3Options, S3Store
from dicomio.tracing import TracingOptions
from dicomio.tracing_setup import make_tracer
from store_scp.metrics import ScpMetrics
from store_scp.server import StoreScp
from store_scp.settings import Settings
from store_scp.tally import no_audit

log = structlog.get_logger()

SERVICE = "store-scp"
BUCKET_RETRY_S = 2.0
NO_AUDIT = AuditOptions(enabled=False)
NO_TRACING = TracingOptions()


@dataclass(frozen=True, slots=True)
class Running:
    """A service that accepts associations."""

    dicom_port: int
    http_url: str


@asynccontextmanager
async def running(
    settings: Settings,
    s3: S3Options,
    nats: NatsOptions,
    *,
    audit: AuditOptions = NO_AUDIT,
    tracing: TracingOptions = NO_TRACING,
) -> AsyncIterator[Running]:
    """Run store-scp inside a `with` block.

    Object store and bus may be away at the start: instances are then refused, or announced in the
    outbox, until they come.

    Raises
    ------
    InvalidRequest
        A setting cannot be used: a TLS file, a bucket's name, HTTP beyond loopback without a token.
    Unavailable
        A port cannot be bound.
    """
    registry = new_registry(SERVICE, version("dicomtools"))
    metrics = ScpMetrics(registry)
    scp_options, access = settings.scp_options(), settings.access()
    tracer = make_tracer(tracing, service=SERVICE, version=version("dicomtools"))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, tracer.close)
        bridge = Bridge(asyncio.get_running_loop())
        store = S3Store(s3)
        bus = await NatsBus.open(nats, required=False)
        stack.push_async_callback(_close, bus, bridge, store)
        trail = await stack.enter_async_context(
            nats_trail(nats, audit, observer=SERVICE, registry=registry)
        )

        def publish(subject: str, body: bytes, message_id: str) -> bool:
            return bridge.call(
                bus.publish(subject, body, message_id=message_id), settings.publish_timeout_s
            )

        announcer = Announcer(
            store, publish, observe=lambda held: metrics.announcements.labels(held.value).inc()
        )
        lander = Lander(store, announcer.announce, high_water=settings.high_water)
        scp = StoreScp(
            scp_options,
            lander.land,
            metrics=metrics,
            record=no_audit if trail is None else trail.record,
            tracer=tracer,
        )
        leaving = asyncio.Event()
        app = make_app(
            SERVICE,
            version("dicomtools"),
            (),
            metrics_registry=registry,
            checks={
                "dicom": _accepting(scp, leaving),
                "object_store": _bucket(bridge, store),
                # with the bus away instances are taken all the same: that is what the outbox is for
            },
            access=access,
            audit=None if trail is None else trail.http,
        )
        await stack.enter_async_context(_ensured(bridge, store))
        http = await serve(app, settings.http_host, settings.http_port)
        stack.push_async_callback(http.stop)
        try:
            await bridge.run(scp.start)
            yield Running(dicom_port=scp.port, http_url=http.url)
        finally:
            leaving.set()
            await asyncio.sleep(settings.leave_s)
            # handlers still land and announce while their associations finish: the loop goes on
            await asyncio.to_thread(scp.stop)


@asynccontextmanager
async def _ensured(bridge: Bridge, store: S3Store) -> AsyncIterator[None]:
    """Make the bucket as soon as the object store answers."""
    making = asyncio.create_task(_ensure_bucket(bridge, store))
    try:
        yield
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


async def _close(bus: EventBus, bridge: Bridge, store: S3Store) -> None:
    await bus.close()
    await bridge.close()
    store.close()


async def _ensure_bucket(bridge: Bridge, store: S3Store) -> None:
    while True:
        try:
            await bridge.run(store.ensure_bucket)
        except Unavailable as exc:
            log.warning("bucket_not_ready", reason=exc.sentence)
            await asyncio.sleep(BUCKET_RETRY_S)
        else:
            return


def _accepting(scp: StoreScp, leaving: asyncio.Event) -> Check:
    async def check() -> bool:
        return scp.accepting and not leaving.is_set()

    return check


def _bucket(bridge: Bridge, store: S3Store) -> Check:
    async def check() -> bool:
        await bridge.run(store.ensure_bucket)
        return True

    return check
