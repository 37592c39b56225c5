"""The audit trail of a service on NATS: a stream of its own, on a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from dicomio.audit import AuditOptions, AuditTrail
from dicomio.nats_bus import NatsBus
from dicomio.nats_connection import NatsOptions
from dicomio.streams import audit_stream


@asynccontextmanager
async def nats_trail(
    nats: NatsOptions, options: AuditOptions, *, observer: str, registry: CollectorRegistry
) -> AsyncIterator[AuditTrail | None]:
    """Yield an audit trail; None if there shall be none.

    NATS may be away, now or later: nothing is waited for, and what is recorded meanwhile is in the
    log. Leaving the block publishes what waits, for a few seconds.
    """
    if not options.enabled:
        yield None
        return
    bus = NatsBus.begin(nats, audit_stream(options.retention_s))
    try:
        trail = AuditTrail(bus, observer=observer, options=options, registry=registry, history=bus)
        try:
            yield trail
        finally:
            await trail.close()
    finally:
        await bus.close()
