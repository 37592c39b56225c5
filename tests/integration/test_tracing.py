"""Traces from C-STORE and HTTP to the index; off unless asked for; no patient in any of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from dicomcore.errors import NotFound
from dicomcore.events import CloudEvent, traceparent_of
from dicomio.bridge import Bridge
from dicomio.directory_store import DirectoryStore
from dicomio.http import make_app, serve
from dicomio.landing import Announcer, Lander
from dicomio.local_bus import LocalBus
from dicomio.service_settings import TracingSettings
from dicomio.sql_index import SqlIndex
from dicomio.tracing import (
    NO_TRACER,
    Kind,
    TracingOptions,
    current_traceparent,
)
from dicomio.tracing_otel import OtelTracer
from dicomio.tracing_setup import make_tracer
from indexer.app import Indexer, IndexerOptions
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests.instances import instance
from tests.integration.scp_world import PLANS, send
from tests.peers.raw_scu import RawScu
from tests.whole_api import PATIENT, PEER, whole_api

CANARY = "CANARY-PATIENT-4711"
DEADLINE_S = 60.0


class Traces:
    """Every span that has ended, in this process."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer = OtelTracer("test", "1", SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span

    def text(self) -> str:
        return "\n".join(span.to_json() for span in self.spans)


@pytest.fixture
def traces() -> Iterator[Traces]:
    traces = Traces()
    yield traces
    traces.tracer.close()


def trace_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def parent_id(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)


async def test_one_trace_leads_from_c_store_to_the_index(tmp_path: Path, traces: Traces) -> None:
    bus = await LocalBus.open(tmp_path / "bus.db")
    index = await SqlIndex.open(f"sqlite:///{tmp_path}/index.db")
    bridge = Bridge(asyncio.get_running_loop())
    store = DirectoryStore(tmp_path / "objects")
    with ExitStack() as stack:
        stack.callback(store.close)

        def publish(subject: str, body: bytes, message_id: str) -> bool:
            return bridge.call(bus.publish(subject, body, message_id=message_id), DEADLINE_S)

        lander = Lander(store, Announcer(store, publish).announce)
        scp = StoreScp(ScpOptions(port=0), lander.land, tracer=traces.tracer)
        indexer = Indexer(
            store=store,
            bus=bus,
            index=index,
            bridge=bridge,
            registry=CollectorRegistry(),
            options=IndexerOptions(tracer=traces.tracer),
        )
        running = asyncio.create_task(indexer.run())
        await bridge.run(scp.start)

        def sent() -> int:
            one = instance()
            one.PatientID = one.PatientName = one.RTPlanLabel = CANARY
            with RawScu(scp.port, PLANS) as scu:
                status = send(scu, one)
                scu.release()
            return status

        assert await asyncio.to_thread(sent) == 0
        async with asyncio.timeout(DEADLINE_S):
            while "index instance" not in {span.name for span in traces.spans}:
                await asyncio.sleep(0.02)
        await asyncio.to_thread(scp.stop)
        indexer.stop()
        await running
    await bridge.close()
    await bus.close()
    await index.close()

    received, read, indexed = map(traces.named, ("C-STORE", "read header", "index instance"))
    assert received.parent is None
    assert received.context is not None
    assert trace_id(received) == trace_id(read) == trace_id(indexed)
    assert parent_id(read) == parent_id(indexed) == received.context.span_id
    assert CANARY not in traces.text()


async def test_a_request_continues_the_callers_trace_and_names_no_patient(traces: Traces) -> None:
    from tests.integration.test_http import Api

    app = make_app(
        "Test",
        "1",
        Api().routes(),
        metrics_registry=CollectorRegistry(),
        tracer=traces.tracer,
    )
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
    given = f"00-{'a' * 32}-{'b' * 16}-01"
    async with aiohttp.ClientSession(headers={"traceparent": given}) as session:
        for path in (f"/v1/patients/{CANARY}", f"/v1/patients/{CANARY}?fault=bug", "/livez"):
            async with session.get(server.url + path) as response:
                await response.read()
    await server.stop()

    answered, failed = traces.spans
    assert answered.name == "GET /v1/patients/{patient_id}"
    assert trace_id(answered) == int("a" * 32, 16)
    assert parent_id(answered) == int("b" * 16, 16)
    assert dict(answered.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v1/patients/{patient_id}",
        "http.response.status_code": 200,
    }
    assert (failed.attributes or {})["http.response.status_code"] == 500
    assert CANARY not in traces.text()


async def test_a_job_belongs_to_the_trace_of_the_request_that_ordered_it(
    tmp_path: Path, traces: Traces
) -> None:
    order = {"peer": PEER, "patient_id": PATIENT, "plan_label": CANARY, "method": "get"}
    async with (
        whole_api(tmp_path, tracer=traces.tracer) as api,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(f"{api.urls['qr-gateway']}/v1/retrievals", json=order) as response:
            assert response.status == 202
        async with asyncio.timeout(DEADLINE_S):
            while "retrieval job" not in {span.name for span in traces.spans}:
                await asyncio.sleep(0.02)

    ordered, done = traces.named("POST /v1/retrievals"), traces.named("retrieval job")
    assert ordered.context is not None
    assert trace_id(ordered) == trace_id(done)
    assert parent_id(done) == ordered.context.span_id
    assert CANARY not in traces.text()


def test_facts_and_errors_that_may_tell_who_a_patient_is_stay_out(traces: Traces) -> None:
    def fail() -> None:
        with traces.tracer.span(
            "work", facts={"patient_id": CANARY, "name": f"{CANARY}^X", "size_bytes": 3}
        ) as span:
            span.note({"patient.name": CANARY, "url.query": CANARY, "dicom.status": "0x0000"})
            raise NotFound(f"no {CANARY}", patient=CANARY)

    with pytest.raises(NotFound):
        fail()

    [span] = traces.spans
    assert dict(span.attributes or {}) == {
        "size_bytes": 3,
        "dicom.status": "0x0000",
        "error.type": "NotFound",
    }
    assert not span.events
    assert CANARY not in traces.text()


async def test_spans_nest_in_threads_and_tasks_and_end_with_their_block(traces: Traces) -> None:
    assert current_traceparent() == ""
    with traces.tracer.span("outer", kind=Kind.SERVER):
        outer = current_traceparent()

        def inner() -> str:
            with traces.tracer.span("inner"):
                return current_traceparent()

        within = await asyncio.to_thread(inner)
        assert current_traceparent() == outer
    assert current_traceparent() == ""

    assert within[3:35] == outer[3:35]
    assert parent_id(traces.named("inner")) == int(outer[36:52], 16)


@pytest.mark.parametrize(
    "given", ["", "nonsense", "00-0-0-00", f"00-{'0' * 32}-{'b' * 16}-01", CANARY]
)
def test_a_traceparent_that_is_none_begins_a_new_trace(traces: Traces, given: str) -> None:
    with traces.tracer.span("root", parent=given):
        pass

    assert traces.named("root").parent is None
    assert CANARY not in traces.text()


def test_without_an_endpoint_there_are_no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "TRACES_ENDPOINT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    tracer = make_tracer(TracingSettings().options(), service="x", version="1")
    assert tracer is NO_TRACER
    with tracer.span("work") as span:
        span.note({"size_bytes": 1})
        assert current_traceparent() == ""

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert TracingSettings().options() == TracingOptions(enabled=True)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not TracingSettings().options().enabled


async def test_spans_are_sent_where_the_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import web

    got: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}")

    tracer = make_tracer(TracingOptions(enabled=True), service="store-scp", version="1")
    with tracer.span("C-STORE"):
        pass
    await asyncio.to_thread(tracer.close)
    await runner.cleanup()

    assert got
    assert b"store-scp" in got[0]
    assert b"C-STORE" in got[0]


def test_an_event_carries_its_trace_and_can_do_without() -> None:
    body: dict[str, Any] = {
        "id": "1",
        "source": "s",
        "type": "t",
        "time": "2026-01-01T00:00:00Z",
        "data": {},
    }
    plain = CloudEvent.model_validate(body).model_dump_json().encode()
    traced = CloudEvent.model_validate({**body, "traceparent": "00-a-b-01"})

    assert traceparent_of(plain) == ""
    assert traceparent_of(traced.model_dump_json().encode()) == "00-a-b-01"
    assert traceparent_of(b"not an event") == ""
