"""Exports as one object: parts in, routes and a worker out."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from dicomcore.deident.uid_map import KeyedMap
from dicomcore.errors import KeyValueUnavailable, NotFound
from dicomcore.export import MANIFEST_NAME
from dicomcore.ports import EventBus, IndexDb, KeyValue, ObjectStore, Pacs
from dicomio import pacs
from dicomio.bridge import Bridge
from dicomio.exporting.proving import NOT_PROCESSED
from dicomio.http import AnyRoute, Check
from dicomio.jobs.attempt import Hooks
from dicomio.jobs.desk import JobDesk
from dicomio.jobs.ledger import Ledger
from dicomio.jobs.options import Metrics, WorkerOptions
from dicomio.jobs.records import Records
from dicomio.jobs.worker import Worker
from dicomio.peer_book import PeerBook
from dicomio.peers import Peers, PeerSettings
from indexer.exporting.downloads import Downloads
from indexer.exporting.executor import ExportParts, Way, export, prefix_of
from indexer.exporting.kind import EXPORT, SERVICE
from indexer.exporting.maps import PLAIN, MapSink, NoMaps, PlainMaps
from indexer.exporting.model import ExportReport, ExportRequest, Selection
from indexer.exporting.resolving import Resolved, resolve
from indexer.exporting.routes import ExportRoutes

BUCKET = "exports"
"""Name of the key-value bucket that the ledger is kept in."""
RESOLVE_TIMEOUT_S = 600.0
BOOK_TIMEOUT_S = 30.0
NO_PEERS: Mapping[str, PeerSettings] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterParts:
    """What exports work with; all of it stays the caller's, to be closed after `run`."""

    store: ObjectStore
    """Of instances."""
    exports: ObjectStore
    """Of exports; may be the same."""
    bus: EventBus
    kv: KeyValue
    """Bucket `BUCKET`."""
    index: IndexDb
    registry: CollectorRegistry
    peers: Peers = field(default_factory=lambda: Peers(NO_PEERS))
    peers_kv: KeyValue | None = None
    """Where peers are kept on the server: bucket `dicomio.peer_book.BUCKET`; None: nowhere."""
    connect: Callable[[pacs.Peer], Pacs] = pacs.DicomPacs
    key: bytes | None = field(default=None, repr=False)
    """Of anonymised exports; None: there are none."""
    maps: MapSink = field(default_factory=NoMaps)
    spool: Path | None = None
    """A folder of this process alone; None: the system's for temporary files."""
    url_ttl_s: int = 3600
    options: WorkerOptions = field(default_factory=lambda: WorkerOptions(owner=SERVICE, jobs=2))


class Exporter:
    """Exports of what the index knows.

    Used by this service's `__main__` and, on the embedded adapters, by `dicomtools up`. Made on the
    event loop that it runs on.

    Raises
    ------
    InvalidRequest
        The key is too short, or a certificate or key of a peer cannot be loaded.
    """

    def __init__(self, parts: ExporterParts) -> None:
        if parts.key is not None:
            KeyedMap(parts.key)
        self._parts = parts
        self._book = PeerBook(parts.peers, parts.peers_kv or parts.kv, parts.connect)
        jobs = parts.options.jobs
        loop = asyncio.get_running_loop()
        # downloads have threads of their own: neither waits for the other
        self._work = Bridge(loop, workers=2 * jobs)
        self._reading = Bridge(loop)
        self._held_back = Counter(
            "export_objects_held_back",
            "Objects that were held back from anonymised exports, by why",
            ("why",),
            registry=parts.registry,
        )
        self._held_back.labels(NOT_PROCESSED)
        records = Records(parts.kv, EXPORT)
        downloads = Downloads(parts.exports, self._reading, url_ttl_s=parts.url_ttl_s)
        self._routes = ExportRoutes(
            JobDesk(Ledger(records), parts.bus),
            downloads,
            key=parts.key,
            seal=parts.maps.seal,
            known_peer=self._book.known,
        ).routes()
        self._worker = Worker(
            parts.bus,
            records,
            self._work,
            self._export,
            options=replace(parts.options, jobs_per_peer=jobs, clear=self._remove),
            metrics=Metrics(parts.registry, EXPORT.name),
        )

    def routes(self) -> Sequence[AnyRoute]:
        """Return the HTTP operations, for `dicomio.http.make_app`."""
        return self._routes

    def checks(self) -> Mapping[str, Check]:
        """Return what readiness depends on."""
        return {"exports": self._ledger_answers}

    async def run(self) -> None:
        """Work until `stop`; then give back what runs and return."""
        try:
            await asyncio.to_thread(self._clear_spool)
            await self._worker.run()
        finally:
            await self._work.close()
            await self._reading.close()

    def stop(self) -> None:
        """Take no more jobs; those that run go back to the queue."""
        self._worker.stop()

    async def _ledger_answers(self) -> bool:
        try:
            await self._parts.kv.get("ready")
        except NotFound:
            return True
        except KeyValueUnavailable:
            return False
        return True

    def _clear_spool(self) -> None:
        """Remove what a process that was killed left in the folder of its own."""
        if self._parts.spool is not None:
            for left in self._parts.spool.glob("export-*"):
                shutil.rmtree(left, ignore_errors=True)

    def _export(self, _peer: str, request: ExportRequest, hooks: Hooks) -> ExportReport:
        parts = self._parts
        return export(
            request,
            ExportParts(
                store=parts.store,
                exports=parts.exports,
                resolve=self._resolve,
                ways=self._way,
                key=parts.key,
                maps=parts.maps,
                plain_maps=PlainMaps(parts.exports, PLAIN),
                spool=parts.spool,
                record=parts.options.record,
                held_back=lambda why: self._held_back.labels(why).inc(),
            ),
            hooks,
        )

    def _remove(self, job_id: str, request: ExportRequest) -> None:
        """Remove what a replica that died has written of an export that is none."""
        prefix = prefix_of(request, job_id)
        self._parts.exports.delete(prefix + MANIFEST_NAME)  # first: then it is no export any more
        for stat in list(self._parts.exports.list(prefix)):
            self._parts.exports.delete(stat.key)

    def _resolve(self, selection: Selection) -> Resolved:
        return self._work.call(resolve(self._parts.index, selection), RESOLVE_TIMEOUT_S)

    def _way(self, name: str) -> Way:
        known = self._work.call(self._book.known(name), BOOK_TIMEOUT_S)
        return Way(known.pacs, known.settings.limits.send_associations)
