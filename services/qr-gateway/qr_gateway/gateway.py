"""The gateway as one object: parts in, routes and workers out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry

from dicomcore.errors import KeyValueUnavailable, NotFound
from dicomcore.ports import EventBus, EventHistory, KeyValue, ObjectStore, Pacs
from dicomcore.received import Received
from dicomio import pacs
from dicomio.bridge import Bridge
from dicomio.http import AnyRoute, Check
from dicomio.jobs.attempt import Hooks
from dicomio.jobs.desk import JobDesk
from dicomio.jobs.ledger import Ledger
from dicomio.jobs.options import Metrics, WorkerOptions
from dicomio.jobs.records import Records
from dicomio.jobs.worker import Worker
from dicomio.peer_book import KnownPeer, PeerBook
from dicomio.peers import Peers
from dicomio.tasks import end
from qr_gateway.audit_routes import AuditRoutes
from qr_gateway.batch_routes import BatchRoutes
from qr_gateway.diagnosis import Diagnostician, Receiver, nobody_knows
from qr_gateway.diagnosis_routes import DiagnosisRoutes
from qr_gateway.peer_lists import PeerListRoutes
from qr_gateway.peer_routes import PeerRoutes
from qr_gateway.retrieval import executor
from qr_gateway.retrieval.kind import RETRIEVAL
from qr_gateway.retrieval.model import Progress, Report, RetrievalRequest
from qr_gateway.retrieval_routes import RetrievalRoutes
from qr_gateway.send_routes import SendRoutes
from qr_gateway.sending.job import Listener, SendingParts, send_studies
from qr_gateway.sending.kind import SEND
from qr_gateway.sending.model import SendingReport, SendRequest
from qr_gateway.server_settings import LogLevel, ServerSettings, no_change
from qr_gateway.settings_routes import SettingsRoutes

BUCKET = "retrievals"
"""Name of the key-value bucket that the ledger is kept in."""
REFRESH_TIMEOUT_S = 30.0
QUERY_THREADS = 4
"""C-ECHO and C-FIND at a time; retrievals have threads of their own, so that neither waits."""


class Retrieve(Protocol):
    """The form of `qr_gateway.retrieval.executor.retrieve`."""

    def __call__(
        self,
        request: RetrievalRequest,
        parts: executor.Parts,
        *,
        saved: bytes | None,
        save: Callable[[bytes], None],
        progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> Report:
        """Return how the retrieval ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayParts:
    """What a gateway works with; all of it stays the caller's, to be closed after `run`."""

    peers: Peers
    store: ObjectStore
    bus: EventBus
    kv: KeyValue
    """Bucket `BUCKET`."""
    receive: Callable[[Received], int]
    """C-GET: lands one instance and returns the DIMSE status that answers the sub-operation."""
    registry: CollectorRegistry
    options: WorkerOptions = field(default_factory=WorkerOptions)
    connect: Callable[[pacs.Peer], Pacs] = pacs.DicomPacs
    receiver: Callable[[], Receiver | None] = nobody_knows
    """Where store-scp listens, as far as this service knows."""
    log_level: LogLevel = "info"
    """What is configured."""
    set_log_level: Callable[[LogLevel], None] = no_change
    history: EventHistory | None = None
    """The audit trail, to be read again; None: there is none."""
    retrieve: Retrieve = executor.retrieve


class Gateway:
    """C-ECHO, C-FIND and selective retrievals against named peers.

    Used by this service's `__main__` and, on the embedded adapters, by `dicomtools up`. Made on the
    event loop that it runs on.

    Raises
    ------
    InvalidRequest
        A certificate or key of a peer cannot be loaded.
    """

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._book = PeerBook(parts.peers, parts.kv, parts.connect)
        loop = asyncio.get_running_loop()
        self._queries = Bridge(loop, workers=QUERY_THREADS)
        # each kind of job has threads of its own, so that neither waits for the other
        self._work = Bridge(loop, workers=2 * parts.options.jobs)
        retrievals, sends = Records(parts.kv, RETRIEVAL), Records(parts.kv, SEND)
        diagnostician = Diagnostician(parts.store, parts.connect, parts.receiver)
        server_settings = ServerSettings(
            parts.kv, self._book, level=parts.log_level, apply=parts.set_log_level
        )
        self._watch = server_settings.watch
        self._routes = (
            *PeerRoutes(self._book, self._queries).routes(),
            *PeerListRoutes(self._book, self._queries).routes(),
            *DiagnosisRoutes(self._book, self._queries, diagnostician).routes(),
            *SettingsRoutes(server_settings, parts.receiver).routes(),
            *RetrievalRoutes(self._book, JobDesk(Ledger(retrievals), parts.bus)).routes(),
            *SendRoutes(self._book, JobDesk(Ledger(sends), parts.bus)).routes(),
            *BatchRoutes().routes(),
            *AuditRoutes(parts.history).routes(),
        )
        self._retrievals = Worker(
            parts.bus,
            retrievals,
            self._work,
            self._retrieve,
            options=parts.options,
            metrics=Metrics(parts.registry, RETRIEVAL.name),
        )
        self._sends = Worker(
            parts.bus,
            sends,
            self._work,
            self._send,
            options=parts.options,
            metrics=Metrics(parts.registry, SEND.name),
        )

    def routes(self) -> Sequence[AnyRoute]:
        """Return the HTTP operations, for `dicomio.http.make_app`."""
        return self._routes

    def checks(self) -> Mapping[str, Check]:
        """Return what readiness depends on."""
        return {"bus": self._parts.bus.healthy, "key_value": self._key_value_answers}

    async def run(self) -> None:
        """Work until `stop`; then give back what runs and return.

        Outages of bus and ledger are waited out.
        """
        watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._retrievals.run())
                group.create_task(self._sends.run())
        finally:
            await end(watching)
            await self._work.close()
            await self._queries.close()

    def stop(self) -> None:
        """Take no more jobs; those that run go back to the queue, with all they have saved."""
        self._retrievals.stop()
        self._sends.stop()

    async def _key_value_answers(self) -> bool:
        try:
            await self._parts.kv.get("ready")
        except NotFound:
            return True
        except KeyValueUnavailable:
            return False
        return True

    def _retrieve(self, peer: str, request: RetrievalRequest, hooks: Hooks) -> Report:
        known = self._peer(peer)
        settings = known.settings
        parts = executor.Parts(
            pacs=known.pacs,
            store=self._parts.store,
            receive=self._parts.receive,
            destination=settings.move_destination or "",
            limits=settings.limits,
        )
        return self._parts.retrieve(
            request,
            parts,
            saved=hooks.saved,
            save=hooks.save,
            progress=hooks.progress,
            cancelled=hooks.cancelled,
        )

    def _peer(self, name: str) -> KnownPeer:
        """Return a peer as it is now, in a worker's thread: another replica may have changed it."""
        return self._work.call(self._book.known(name), REFRESH_TIMEOUT_S)

    def _send(self, peer: str, request: SendRequest, hooks: Hooks) -> SendingReport:
        known = self._peer(peer)
        parts = SendingParts(
            store=self._parts.store,
            pacs=known.pacs,
            associations=known.settings.limits.send_associations,
        )
        listener = Listener(hooks.saved, hooks.save, hooks.progress, hooks.cancelled)
        return send_studies(request, parts, listener)
