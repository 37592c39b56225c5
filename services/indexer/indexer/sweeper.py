"""Announces what store-scp could not announce while the bus was away."""

from __future__ import annotations

import asyncio

import structlog

from dicomcore.errors import Unavailable
from dicomcore.ports import EventBus, ObjectStore
from dicomio.bridge import Bridge
from dicomio.landing import sweep_outbox
from indexer.metrics import Metrics

log = structlog.get_logger(__name__)

PUBLISH_TIMEOUT_S = 30.0


class Sweeper:
    """Empties the outbox now and then. Every replica may: two at once repeat, which is harmless."""

    def __init__(
        self,
        store: ObjectStore,
        bus: EventBus,
        bridge: Bridge,
        metrics: Metrics,
        *,
        every_s: float,
    ) -> None:
        self._store = store
        self._bus = bus
        self._bridge = bridge
        self._metrics = metrics
        self._every_s = every_s

    async def run(self) -> None:
        """Sweep at once and then every `every_s`, until cancelled."""
        while True:
            try:
                await self.sweep()
            except Unavailable as exc:
                log.warning("outbox_not_swept", problem=exc.sentence)
            await asyncio.sleep(self._every_s)

    async def sweep(self) -> int:
        """Announce what is in the outbox now, and return how much it was.

        Raises
        ------
        Unavailable
            Bus or store are away; what was not announced stays in the outbox.
        """
        announced = await self._bridge.run(sweep_outbox, self._store, self._publish)
        if announced:
            self._metrics.announced.inc(announced)
            log.info("outbox_swept", announced=announced)
        return announced

    def _publish(self, subject: str, body: bytes, message_id: str) -> bool:
        return self._bridge.call(
            self._bus.publish(subject, body, message_id=message_id), PUBLISH_TIMEOUT_S
        )
