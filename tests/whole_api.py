"""The HTTP interfaces of the services as they are, on embedded parts, with a patient in the index."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry
from yarl import URL

from dicomcore.audit import Act
from dicomio.http import Access, AnyRoute, AuditSink, make_app, serve
from dicomio.http.auth import LOOPBACK_ONLY
from dicomio.jobs.attempt import Pace
from dicomio.jobs.audit import no_audit
from dicomio.jobs.options import WorkerOptions
from dicomio.local_kv import LocalKeyValue
from dicomio.peers import Peers, PeerSettings
from dicomio.tracing import NO_TRACER, Tracer
from indexer.exporting.service import BUCKET as EXPORTS
from indexer.exporting.service import Exporter, ExporterParts
from qr_gateway.front import Front
from qr_gateway.gateway import BUCKET, Gateway, GatewayParts
from tests.indexer_world import announce, embedded_parts, land, plan, running, structure_set
from tests.memory_pacs import MemoryPacs

DEADLINE_S = 60.0
PATIENT = "P-1"
PEER = "PACS"
_PARAMETERS = {"patient_id": PATIENT, "sop_instance_uid": "1.2.3.30", "name": PEER, "id": "0" * 32}


@dataclass(frozen=True)
class Operation:
    """One operation of an OpenAPI document, with an address that can be asked for."""

    service: str
    operation_id: str
    method: str
    path: str
    role: str
    """Empty: it answers anyone."""

    def __str__(self) -> str:
        return f"{self.service} {self.operation_id}"


@dataclass
class WholeApi:
    """The services, listening."""

    urls: dict[str, str] = field(default_factory=dict)
    routes: dict[str, tuple[AnyRoute, ...]] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    registries: dict[str, CollectorRegistry] = field(default_factory=dict)

    def operations(self) -> Iterator[Operation]:
        """Every operation that the documents name."""
        for service, document in self.documents.items():
            for template, methods in document["paths"].items():
                for method, operation in methods.items():
                    needs = operation.get("security", ())
                    yield Operation(
                        service=service,
                        operation_id=operation["operationId"],
                        method=method.upper(),
                        path=re.sub(r"\{(\w+)\}", lambda m: _PARAMETERS.get(m[1], "1"), template),
                        role=needs[0]["token"][0] if needs else "",
                    )

    async def ask(
        self, session: aiohttp.ClientSession, operation: Operation, authorization: str | None
    ) -> tuple[int, str]:
        """The status and body of one request; a stream is read up to its first event."""
        headers = {} if authorization is None else {"Authorization": authorization}
        how: dict[str, Any] = {}
        if operation.method in ("POST", "PUT", "PATCH"):
            how["json"] = {}
        url = URL(self.urls[operation.service] + operation.path, encoded=True)
        async with session.request(operation.method, url, headers=headers, **how) as response:
            return response.status, await response.text()


@asynccontextmanager
async def whole_api(
    folder: Path,
    *,
    access: Access = LOOPBACK_ONLY,
    audit: AuditSink | None = None,
    record: Callable[[Act], None] = no_audit,
    tracer: Tracer = NO_TRACER,
    token: str = "",
    patient_id: str = PATIENT,
) -> AsyncIterator[WholeApi]:
    """The services; `token` is one that may read their documents."""
    api = WholeApi()
    datasets = [
        plan("1.2.3.30", structures="1.2.3.20", patient_id=patient_id),
        structure_set("1.2.3.20", patient_id=patient_id),
    ]
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(embedded_parts(folder))
        kv = await LocalKeyValue.open(folder / "jobs.db", BUCKET)
        stack.push_async_callback(kv.close)
        peer = PeerSettings(ae_title="PACS", host="pacs.invalid", port=104, move_destination="US")
        registry = CollectorRegistry()
        pacs = MemoryPacs(datasets)
        gateway = Gateway(
            GatewayParts(
                peers=Peers({PEER: peer}),
                store=world.store,
                bus=world.bus,
                kv=kv,
                receive=lambda _: 0,
                registry=registry,
                options=WorkerOptions(
                    pace=Pace(progress_every_s=0.05), jobs=2, record=record, tracer=tracer
                ),
                connect=lambda _: pacs,
            )
        )
        exports = await LocalKeyValue.open(folder / "jobs.db", EXPORTS)
        stack.push_async_callback(exports.close)
        exporter = Exporter(
            ExporterParts(
                store=world.store,
                exports=world.store,
                bus=world.bus,
                kv=exports,
                index=world.index,
                registry=world.registry,
                peers=Peers({PEER: peer}),
                connect=lambda _: pacs,
                key=b"a key of the tests of the whole API",
                options=WorkerOptions(
                    pace=Pace(progress_every_s=0.05), jobs=2, record=record, tracer=tracer
                ),
            )
        )
        await stack.enter_async_context(running(world))
        await stack.enter_async_context(_working(gateway))
        await stack.enter_async_context(_working(exporter))
        for dataset in datasets:
            await announce(world.bus, land(world.store, dataset))
        await world.settled(2)
        checks_of_both = {**world.indexer.checks(), **exporter.checks()}
        session = await stack.enter_async_context(aiohttp.ClientSession())
        front = Front(access, "1")
        stack.push_async_callback(front.close)
        gateway_routes = (*front.routes(), *gateway.routes())
        for service, routes, its_registry, checks in (
            (
                "indexer",
                (*world.indexer.routes(), *exporter.routes()),
                world.registry,
                checks_of_both,
            ),
            ("qr-gateway", gateway_routes, registry, gateway.checks()),
            # it speaks DICOM; over HTTP it has what every service has
            ("store-scp", (), CollectorRegistry(), {}),
        ):
            app = make_app(
                service,
                "1",
                routes,
                metrics_registry=its_registry,
                checks=checks,
                access=access,
                audit=audit,
                tracer=tracer,
                mounts=front.mounts() if service == "qr-gateway" else (),
            )
            server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
            stack.push_async_callback(server.stop)
            api.urls[service] = server.url
            api.routes[service] = tuple(routes)
            api.registries[service] = its_registry
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.get(server.url + "/openapi.json", headers=headers) as response:
                api.documents[service] = json.loads(await response.text())
        yield api


@asynccontextmanager
async def _working(service: Gateway | Exporter) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(service.run())
        try:
            yield
        finally:
            service.stop()
