"""A canary patient goes down every path of every service; logs, metrics, audit and traces stay clean."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from yarl import URL

from dicomcore.audit import Act, audit_event
from dicomio import logs
from dicomio.audit import act_of
from dicomio.directory_store import DirectoryStore
from dicomio.http import Audited
from dicomio.landing import Announcer, Lander
from dicomio.tracing_otel import OtelTracer
from store_scp.metrics import ScpMetrics
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.bus_double import Bus
from tests.instances import encode, instance
from tests.integration.scp_world import IMPLICIT, PLANS, send
from tests.peers.raw_scu import Aborted, RawScu
from tests.whole_api import DEADLINE_S, PEER, WholeApi, whole_api

AT = datetime(2026, 1, 1, tzinfo=UTC)
CANARY = "KANARIENVOGEL"
LOUD = (CANARY, CANARY.lower(), "Yellow")


@pytest.fixture(autouse=True)
def _json_logs() -> Iterator[None]:
    """Logs as a service writes them, all levels; and as it was before, afterwards."""
    root, show = logging.getLogger(), warnings.showwarning
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    logs.configure("test", "debug", json=True, uncaught=False)
    yield
    logging.captureWarnings(capture=False)
    logging.raiseExceptions, warnings.showwarning = raising, show
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Watched:
    """What leaves a service besides its answers."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.exporter = InMemorySpanExporter()
        self.tracer = OtelTracer("test", "1", SimpleSpanProcessor(self.exporter))

    def http(self, audited: Audited) -> None:
        self.acts.append(act_of(audited))

    def text(self, *registries: CollectorRegistry) -> str:
        events = [
            audit_event(act, recorded=AT, observer="test", key=b"k" * 32).model_dump_json(
                by_alias=True
            )
            for act in self.acts
        ]
        spans = [span.to_json() for span in self.exporter.get_finished_spans()]
        metrics = [generate_latest(registry).decode() for registry in registries]
        assert events
        assert spans
        return "\n".join([*events, *spans, *metrics])


def quiet(text: str) -> None:
    """Fail if the canary is heard."""
    for loud in LOUD:
        found = text.find(loud)
        assert found < 0, text[max(0, found - 300) : found + 100]


def bodies() -> Iterator[dict[str, Any]]:
    """What may be posted anywhere: orders with the canary in every place for a text."""
    yield {"peer": PEER, "patient_id": CANARY, "plan_label": CANARY, "method": "get"}
    yield {"peer": CANARY, "patient_id": CANARY, "method": "get"}
    yield {"level": "STUDY", "keys": {"PatientID": CANARY, "PatientName": f"{CANARY}^Yellow"}}
    yield {"level": "IMAGE", "keys": {CANARY: CANARY}, "allow_wildcards": True}
    yield {"level": CANARY, "keys": CANARY, "patient_id": [CANARY], "unheard_of": CANARY}
    yield {"peer": PEER, "study_instance_uids": [CANARY], "sop_instance_uids": [CANARY]}
    yield {"peer": PEER, "study_instance_uids": ["1.2.3"]}
    yield {"selection": {"patient": CANARY}, "destination": {"zip": True}, "anonymise": {}}
    yield {
        "selection": {"query": {"tag": [f"PatientName={CANARY}*"], "patient_id": CANARY}},
        "destination": {"bucket": {"prefix": CANARY}},
    }
    yield {"selection": {"plans": [CANARY]}, "destination": {"peer": CANARY}}
    yield {"clear": CANARY}


async def every_request(api: WholeApi) -> AsyncIterator[tuple[str, URL, dict[str, Any]]]:
    for operation in api.operations():
        document = api.documents[operation.service]
        [template] = [
            path
            for path, methods in document["paths"].items()
            if any(one["operationId"] == operation.operation_id for one in methods.values())
        ]
        described = document["paths"][template][operation.method.lower()]
        names = [one["name"] for one in described.get("parameters", ()) if one["in"] == "query"]
        path = operation.path.replace("P-1", CANARY)
        url = api.urls[operation.service] + path
        odd = {"Idempotency-Key": f"{CANARY} ", "Last-Event-ID": CANARY, "X-Request-ID": "r^1"}
        for query in ({}, *({name: CANARY} for name in names), {"unheard_of": CANARY}):
            yield operation.method, URL(url, encoded=True).with_query(query), {"headers": odd}
        if operation.method != "GET":
            for body in bodies():
                yield operation.method, URL(url, encoded=True), {"json": body}
            cut = {
                "data": f'{{"patient_id": "{CANARY}',
                "headers": {"Content-Type": "application/json"},
            }
            yield operation.method, URL(url, encoded=True), cut
    yield "GET", URL(f"{api.urls['indexer']}/v1/{CANARY}", encoded=True), {}
    yield "PUT", URL(f"{api.urls['indexer']}/v1/patients/{CANARY}/tree", encoded=True), {}


async def test_http_names_the_canary_in_answers_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watched = Watched()
    answered: list[int] = []
    async with (
        whole_api(
            tmp_path,
            audit=watched.http,
            record=watched.acts.append,
            tracer=watched.tracer,
            patient_id=CANARY,
        ) as api,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session,
    ):
        async for method, url, how in every_request(api):
            async with session.request(method, url, **how) as response:
                text = await response.text()
                answered.append(response.status)
                if response.content_type == "application/problem+json":
                    quiet(text)
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(api.urls["indexer"]).port)
        writer.write(f"GET /{CANARY} HTTP/9 {CANARY}\r\n{CANARY}\r\n\r\n".encode())
        async with asyncio.timeout(DEADLINE_S):
            await reader.read()
        writer.close()
        told = watched.text(*api.registries.values())
    watched.tracer.close()

    captured = capfd.readouterr()
    assert {200, 202, 404, 422} <= set(answered)
    assert not [status for status in answered if status == 500]
    assert len([line for line in captured.err.splitlines() if "request_answered" in line]) > 50
    assert all(json.loads(line)["service"] == "test" for line in captured.err.splitlines())
    quiet(captured.err + captured.out)
    quiet(told)


async def test_c_store_names_the_canary_nowhere_but_in_the_object(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watched, registry = Watched(), CollectorRegistry()
    store = DirectoryStore(tmp_path)
    lander = Lander(store, Announcer(store, Bus().publish).announce)
    scp = StoreScp(
        ScpOptions(port=0),
        lander.land,
        metrics=ScpMetrics(registry),
        record=watched.acts.append,
        tracer=watched.tracer,
    )

    def bring() -> list[int]:
        one = instance()
        one.PatientID = one.RTPlanLabel = CANARY
        one.PatientName = f"{CANARY}^Yellow"
        body, cls, uid = encode(one, IMPLICIT), str(one.SOPClassUID), str(one.SOPInstanceUID)
        with RawScu(scp.port, PLANS) as scu:
            statuses = [
                send(scu, one),
                scu.store(body[:-7], cls, uid),  # cut off
                scu.store(body, cls, "1.2.3"),  # another instance
                scu.store(CANARY.encode() * 10, cls, uid),
                scu.store(body.replace(uid.encode()[:8], CANARY.encode()[:8]), cls, uid),
            ]
            scu.release()
        with RawScu(scp.port, PLANS) as scu:
            scu.socket.sendall(b"\x04\x00\x00\x00\x00\x40" + CANARY.encode() * 6)
            with pytest.raises((Aborted, ConnectionError)):
                scu.echo(context_id=3)
        return statuses

    scp.start()
    try:
        statuses = await asyncio.to_thread(bring)
    finally:
        await asyncio.to_thread(scp.stop)
        store.close()
    told = watched.text(registry)
    watched.tracer.close()

    captured = capfd.readouterr()
    assert statuses[0] == 0
    assert all(statuses[1:])
    assert "instance_refused" in captured.err
    quiet(captured.err + captured.out)
    quiet(told)
