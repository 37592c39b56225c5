"""qr-gateway in its surroundings: object store, bus, ledger and HTTP, started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.metadata import version

import structlog

from dicomcore.errors import InvalidRequest, Unavailable
from dicomcore.ports import EventBus
from dicomio.audit import AuditOptions
from dicomio.bridge import Bridge
from dicomio.http import Check, is_loopback, make_app, serve
from dicomio.jobs.audit import no_audit
from dicomio.landing import Announcer, Lander, Publish
from dicomio.logs import set_level
from dicomio.metrics import new_registry
from dicomio.nats_audit import nats_trail
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.nats_kv import NatsKeyValue
from dicomio.s3_store import S3Options, S3Store
from dicomio.tracing import TracingOptions
from dicomio.tracing_setup import make_tracer
from qr_gateway.front import Front
from qr_gateway.gateway import BUCKET, Gateway, GatewayParts
from qr_gateway.receiving import receiver
from qr_gateway.settings import Settings

log = structlog.get_logger(__name__)

SERVICE = "qr-gateway"
BUCKET_RETRY_S = 2.0
NO_AUDIT = AuditOptions(enabled=False)
NO_TRACING = TracingOptions()


@asynccontextmanager
async def running(
    settings: Settings,
    s3: S3Options,
    nats: NatsOptions,
    *,
    audit: AuditOptions = NO_AUDIT,
    tracing: TracingOptions = NO_TRACING,
) -> AsyncIterator[str]:
    """Run qr-gateway inside a `with` block; yields the URL that it answers on.

    Object store and NATS may be away at the start. Leaving the block gives running retrievals back
    to the queue, for another replica, or this one when it is back.

    Raises
    ------
    InvalidRequest
        A setting cannot be used: peers, a TLS file, a bucket's name, HTTP beyond loopback without
        a token.
    Unavailable
        The port cannot be bound.
    """
    registry = new_registry(SERVICE, version("dicomtools"))
    peers, access, indexer = settings.known_peers(), settings.access(), settings.indexer()
    if not access.authenticated and not is_loopback(settings.http_host):
        # `serve` says so too; here it is said before anything is waited for
        raise InvalidRequest(
            "will not listen beyond loopback without authentication", host=settings.http_host
        )
    tracer = make_tracer(tracing, service=SERVICE, version=version("dicomtools"))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, tracer.close)
        store = S3Store(s3)
        stack.callback(store.close)
        # at once: each waits a while for a server that is not there yet
        bus, kv = await asyncio.gather(
            NatsBus.open(nats, required=False), NatsKeyValue.open(nats, BUCKET, required=False)
        )
        stack.push_async_callback(bus.close)
        stack.push_async_callback(kv.close)
        trail = await stack.enter_async_context(
            nats_trail(nats, audit, observer=SERVICE, registry=registry)
        )
        bridge = Bridge(asyncio.get_running_loop())
        stack.push_async_callback(bridge.close)
        announcer = Announcer(
            store, _publisher(bridge, bus, settings.publish_timeout_s), source="qr-gateway"
        )
        lander = Lander(store, announcer.announce, high_water=settings.high_water)
        gateway = Gateway(
            GatewayParts(
                peers=peers,
                store=store,
                bus=bus,
                kv=kv,
                receive=receiver(lander),
                registry=registry,
                receiver=settings.receiver,
                log_level=settings.log_level,
                set_log_level=set_level,
                history=None if trail is None else trail.history,
                options=replace(
                    settings.worker(),
                    record=no_audit if trail is None else trail.record,
                    tracer=tracer,
                ),
            )
        )
        front = Front(access, version("dicomtools"), indexer=indexer)
        stack.push_async_callback(front.close)
        app = make_app(
            "DicomTools qr-gateway",
            version("dicomtools"),
            (*front.routes(), *gateway.routes()),
            metrics_registry=registry,
            checks={**gateway.checks(), "object_store": _bucket(bridge, store)},
            access=access,
            audit=None if trail is None else trail.http,
            tracer=tracer,
            mounts=front.mounts(),
        )
        server = await serve(app, settings.http_host, settings.http_port)
        stack.push_async_callback(server.stop)
        await stack.enter_async_context(_ensured(bridge, store))
        await stack.enter_async_context(_working(gateway))
        yield server.url


@asynccontextmanager
async def _working(gateway: Gateway) -> AsyncIterator[None]:
    """Run the worker; a fault of ours in it ends the block, and with it the process."""
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.run())
        try:
            yield
        finally:
            gateway.stop()


@asynccontextmanager
async def _ensured(bridge: Bridge, store: S3Store) -> AsyncIterator[None]:
    """Make the bucket as soon as the object store answers."""
    making = asyncio.create_task(_ensure_bucket(bridge, store))
    try:
        yield
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


async def _ensure_bucket(bridge: Bridge, store: S3Store) -> None:
    while True:
        try:
            await bridge.run(store.ensure_bucket)
        except Unavailable as exc:
            log.warning("bucket_not_ready", problem=exc.sentence)
            await asyncio.sleep(BUCKET_RETRY_S)
        else:
            return


def _publisher(bridge: Bridge, bus: EventBus, timeout_s: float) -> Publish:
    def publish(subject: str, body: bytes, message_id: str) -> bool:
        return bridge.call(bus.publish(subject, body, message_id=message_id), timeout_s)

    return publish


def _bucket(bridge: Bridge, store: S3Store) -> Check:
    async def check() -> bool:
        await bridge.run(store.ensure_bucket)
        return True

    return check
