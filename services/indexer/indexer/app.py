"""The indexer as one object: parts in, routes and background tasks out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from prometheus_client import CollectorRegistry

from dicomcore.ports import EventBus, IndexDb, ObjectStore
from dicomio.bridge import Bridge
from dicomio.http import AnyRoute, Check
from dicomio.tracing import NO_TRACER, Tracer
from indexer.consume import ConsumeOptions, StoredConsumer
from indexer.metrics import Metrics
from indexer.packer import Packer
from indexer.rebuild import Rebuild
from indexer.routes import index_routes
from indexer.routes_keywords import keyword_routes
from indexer.routes_lists import list_routes
from indexer.routes_objects import object_routes
from indexer.routes_search import search_routes
from indexer.sweeper import Sweeper

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IndexerOptions:
    """How the indexer works; connections are none of its business."""

    consume: ConsumeOptions = field(default_factory=ConsumeOptions)
    sweep_every_s: float = 10.0
    pack_every_s: float = 1.0
    """How often it is looked for series to pack."""
    pack_quiet_s: float = 5.0
    """A series is packed when nothing came for so long."""
    stop_timeout_s: float = 20.0
    """How long the batch that is being written may go on after `stop`."""
    tracer: Tracer = NO_TRACER


class Indexer:
    """Consumes announcements, packs, sweeps the outbox, answers over HTTP.

    Used by this service's `__main__` and, on the embedded adapters, by `dicomtools up`. The parts
    stay the caller's: close them after `run` has returned, the bridge before the bus and the store.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        bus: EventBus,
        index: IndexDb,
        bridge: Bridge,
        registry: CollectorRegistry,
        options: IndexerOptions | None = None,
    ) -> None:
        self._options = options or IndexerOptions()
        self._bus = bus
        self._index = index
        self._store = store
        metrics = Metrics(registry)
        self._consumer = StoredConsumer(
            store, bus, index, metrics, self._options.consume, self._options.tracer
        )
        self._sweeper = Sweeper(store, bus, bridge, metrics, every_s=self._options.sweep_every_s)
        self._rebuild = Rebuild(store, index)
        self._packer = Packer(
            index,
            metrics,
            every_s=self._options.pack_every_s,
            quiet_s=self._options.pack_quiet_s,
        )
        self._stopping = asyncio.Event()

    def routes(self) -> Sequence[AnyRoute]:
        """Return the HTTP operations, for `dicomio.http.make_app`."""
        return (
            *index_routes(self._index, self._rebuild),
            *list_routes(self._index),
            *object_routes(self._index, self._store),
            *search_routes(self._index),
            *keyword_routes(),
        )

    def checks(self) -> Mapping[str, Check]:
        """Return what readiness depends on."""
        return {"bus": self._bus.healthy, "index": self._index.healthy}

    async def run(self) -> None:
        """Work until `stop`; then finish the batch at hand and return.

        Outages of the parts are waited out. An exception is a fault of ours, and ends everything:
        whoever started the process starts it anew.
        """
        async with asyncio.TaskGroup() as group:
            consuming = group.create_task(self._consumer.run())
            others = [
                group.create_task(self._sweeper.run()),
                group.create_task(self._rebuild.run()),
                group.create_task(self._packer.run()),
            ]
            await self._stopping.wait()
            self._consumer.stop()
            for task in others:
                task.cancel()
            await self._finish(consuming)

    def stop(self) -> None:
        """Ask `run` to end; returns at once, and may be called again."""
        self._stopping.set()

    async def _finish(self, consuming: asyncio.Task[None]) -> None:
        done, _ = await asyncio.wait([consuming], timeout=self._options.stop_timeout_s)
        if not done:
            # What is not acknowledged comes again to another replica.
            log.warning("batch_abandoned", timeout_s=self._options.stop_timeout_s)
            consuming.cancel()
            with suppress(asyncio.CancelledError):
                await consuming
