"""The HTTP kit over a real connection: every answer, and what is not said in any."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import aiohttp
import pytest
import structlog
from aiohttp import web
from openapi_spec_validator import validate
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field
from structlog.testing import LogCapture

from dicomcore.errors import (
    InvalidRequest,
    KeyValueUnavailable,
    NotFound,
    PeerUnavailable,
    Unavailable,
)
from dicomio.http import (
    EVENT_STREAM,
    Access,
    AnyRoute,
    BearerToken,
    Call,
    Input,
    Nothing,
    Reply,
    Role,
    Route,
    ServerEvent,
    decode_cursor,
    encode_cursor,
    is_loopback,
    make_app,
    serve,
    stream_events,
)

CANARY = "CANARY-PATIENT-4711"
TOKEN = "a long random text"  # noqa: S105  # made up here
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
WITH_TOKEN = Access((BearerToken(DIGEST),))
OPEN = Access(max_body_bytes=1000)
DEADLINE_S = 20


class PatientPath(Input):
    patient_id: str = Field(max_length=64)


class Page(Input):
    limit: int = Field(default=10, ge=1, le=100)
    modality: tuple[str, ...] = ()
    cursor: str = ""
    fault: str = ""


class Order(Input):
    plan_label: str
    copies: int = 1


class Echo(BaseModel):
    patient_id: str = ""
    limit: int = 0
    modality: tuple[str, ...] = ()
    plan_label: str = ""
    request_id: str = ""


class Position(BaseModel):
    after: str


class Other(BaseModel):
    after: str


class Tick(BaseModel):
    number: int


class Api:
    """Handlers for these tests; `Api.faults` says what a name raises."""

    faults: ClassVar[dict[str, Exception]] = {
        "missing": NotFound("no such patient"),
        "kv": KeyValueUnavailable("key-value store does not answer"),
        "peer": PeerUnavailable("no answer within the idle time-out", peer="ARIA"),
        "bug": RuntimeError(f"bug near {CANARY}"),
    }

    def __init__(self) -> None:
        self.produced = 0
        self.producer_ended = asyncio.Event()
        self.dependency_up = True
        self.release = asyncio.Event()

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            Route(
                method="GET",
                template="/v1/patients/{patient_id}",
                handler=self.patient,
                path=PatientPath,
                query=Page,
                operation_id="getPatient",
                role=Role.READER,
                summary="A patient",
                responses={200: Echo},
                errors=(404,),
            ),
            Route(
                method="POST",
                template="/v1/orders",
                handler=self.order,
                body=Order,
                operation_id="createOrder",
                role=Role.READER,
                summary="An order",
                responses={202: Echo},
                request_headers={"Idempotency-Key": "The same key, the same order"},
            ),
            Route(
                method="GET",
                template="/v1/versioned",
                handler=self.versioned,
                operation_id="getVersioned",
                role=Role.READER,
                summary="Something with a version",
                responses={200: Echo},
            ),
            Route(
                method="GET",
                template="/v1/drifted",
                handler=self.drifted,
                operation_id="getDrifted",
                role=Role.READER,
                summary="Declares one model, answers another",
                responses={200: Echo},
            ),
            Route(
                method="GET",
                template="/v1/ticks",
                handler=self.ticks,
                query=Page,
                operation_id="followTicks",
                role=Role.READER,
                summary="Ticks",
                responses={200: EVENT_STREAM},
            ),
            Route(
                method="GET",
                template="/v1/snapshot",
                handler=self.snapshot,
                operation_id="getSnapshot",
                role=Role.READER,
                summary="One tick",
                responses={200: EVENT_STREAM},
            ),
        )

    async def patient(self, call: Call[PatientPath, Page]) -> Echo:
        if call.query.fault:
            raise self.faults[call.query.fault]
        return Echo(
            patient_id=call.path.patient_id,
            limit=call.query.limit,
            modality=call.query.modality,
            request_id=call.request_id,
        )

    async def order(self, call: Call[Nothing, Nothing, Order]) -> Reply:
        return Reply(
            Echo(plan_label=call.body.plan_label), status=202, headers={"Location": "/v1/orders/1"}
        )

    async def versioned(self, _: Call) -> Reply:
        return Reply(Echo(limit=7), etag="r7")

    async def drifted(self, _: Call) -> Tick:
        return Tick(number=1)

    async def ticks(self, call: Call[Nothing, Page]) -> web.StreamResponse:
        return await stream_events(call, self._ticking(call.query.fault), heartbeat_s=0.05)

    async def snapshot(self, call: Call) -> web.StreamResponse:
        return await stream_events(call, self._ticking(""), follow=False)

    async def _ticking(self, fault: str) -> AsyncGenerator[ServerEvent, None]:
        try:
            yield ServerEvent(Tick(number=1), id="1")
            if fault:
                raise self.faults[fault]
            yield ServerEvent(Tick(number=2), id="2")
            self.produced = 2
            await self.release.wait()
            yield ServerEvent(Tick(number=3), event="end", id="3")
        finally:
            self.producer_ended.set()


class Client:
    """One session against one running application."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(
        self, method: str, path: str, **how: Any
    ) -> tuple[int, aiohttp.typedefs.LooseHeaders, Any]:
        async with self.session.request(method, self.url + path, **how) as response:
            text = await response.text()
            kind = response.content_type
            body = json.loads(text) if text and kind.endswith("json") else text
            return response.status, response.headers, body


@pytest.fixture
def api() -> Api:
    return Api()


@asynccontextmanager
async def running(api: Api, access: Access = OPEN) -> AsyncIterator[Client]:
    async def dependency() -> bool:
        if not api.dependency_up:
            raise KeyValueUnavailable("key-value store does not answer")
        return True

    app = make_app(
        "Test",
        "1",
        api.routes(),
        metrics_registry=CollectorRegistry(),
        checks={"key_value": dependency},
        access=access,
    )
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Client(session, server.url)
    await server.stop()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[Client]:
    async with running(api) as client:
        yield client


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged, with the context variables that are bound at the time."""
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            capture,
        ],
        cache_logger_on_first_use=False,
    )
    yield capture.entries
    structlog.configure(**before)


async def test_a_request_is_bound_to_the_models_of_its_route(client: Client) -> None:
    status, _, body = await client.ask(
        "GET", "/v1/patients/P1?limit=5&modality=CT&modality=MR", headers={"X-Request-ID": "abc.1"}
    )

    assert status == 200
    assert body == {
        "patient_id": "P1",
        "limit": 5,
        "modality": ["CT", "MR"],
        "plan_label": "",
        "request_id": "abc.1",
    }


async def test_an_accepted_job_has_its_status_and_location(client: Client) -> None:
    status, headers, body = await client.ask("POST", "/v1/orders", json={"plan_label": "A"})

    assert (status, headers["Location"], body["plan_label"]) == (202, "/v1/orders/1", "A")


@pytest.mark.parametrize(
    ("method", "path", "how", "status", "slug"),
    [
        ("GET", "/nowhere", {}, 404, "not-found"),
        ("DELETE", "/v1/orders", {}, 405, "method-not-allowed"),
        ("GET", "/v1/patients/P1?limit=0", {}, 422, "unprocessable-content"),
        ("GET", "/v1/patients/P1?limit=many", {}, 422, "unprocessable-content"),
        ("GET", "/v1/patients/P1?limit=1&limit=2", {}, 422, "unprocessable-content"),
        ("GET", "/v1/patients/P1?colour=red", {}, 422, "unprocessable-content"),
        ("GET", "/v1/patients/" + "P" * 65, {}, 422, "unprocessable-content"),
        ("POST", "/v1/orders", {"json": {"plan": 1}}, 422, "unprocessable-content"),
        (
            "POST",
            "/v1/orders",
            {"data": b"{", "headers": {"Content-Type": "application/json"}},
            400,
            "bad-request",
        ),
        ("POST", "/v1/orders", {"data": {"plan_label": "A"}}, 415, "unsupported-media-type"),
        ("POST", "/v1/orders", {"json": {"plan_label": "A" * 2000}}, 413, "content-too-large"),
        ("GET", "/v1/patients/P1?fault=missing", {}, 404, "not-found"),
        ("GET", "/v1/patients/P1?fault=kv", {}, 503, "key-value-unavailable"),
        ("GET", "/v1/patients/P1?fault=peer", {}, 504, "peer-unavailable"),
        ("GET", "/v1/patients/P1?fault=bug", {}, 500, "unexpected"),
        ("GET", "/v1/drifted", {}, 500, "unexpected"),
    ],
)
async def test_every_failure_is_a_problem_document(
    client: Client, method: str, path: str, how: dict[str, Any], status: int, slug: str
) -> None:
    answered, headers, body = await client.ask(method, path, **how)

    assert answered == status
    assert headers["Content-Type"].startswith("application/problem+json")
    assert body["status"] == status
    assert body["type"] == f"urn:problem:dicomtools:{slug}"
    assert body["request_id"] == headers["X-Request-ID"]
    assert CANARY not in json.dumps(body)


async def test_what_may_be_tried_again_says_when(client: Client) -> None:
    _, later, _ = await client.ask("GET", "/v1/patients/P1?fault=kv")
    _, never, _ = await client.ask("GET", "/v1/patients/P1?fault=missing")

    assert int(later["Retry-After"]) > 0
    assert "Retry-After" not in never


async def test_a_method_that_is_not_allowed_names_those_that_are(client: Client) -> None:
    _, headers, _ = await client.ask("DELETE", "/v1/orders")

    assert headers["Allow"] == "POST"


async def test_a_field_problem_points_at_the_field_and_does_not_quote_its_value(
    client: Client,
) -> None:
    _, _, body = await client.ask("POST", "/v1/orders", json={"plan_label": 1, "copies": CANARY})

    assert {(each["where"], each["pointer"]) for each in body["errors"]} == {
        ("body", "/plan_label"),
        ("body", "/copies"),
    }
    assert CANARY not in json.dumps(body)


async def test_facts_of_an_error_are_told(client: Client) -> None:
    _, _, body = await client.ask("GET", "/v1/patients/P1?fault=peer")

    assert body["detail"] == "no answer within the idle time-out"
    assert body["facts"] == {"peer": "ARIA"}


async def test_a_streamed_body_over_the_limit_is_413(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b" " * 400

    status, _, body = await client.ask(
        "POST", "/v1/orders", data=chunks(), headers={"Content-Type": "application/json"}
    )

    assert status == body["status"] == 413


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "<script>"])
async def test_a_request_id_that_is_not_one_is_replaced(client: Client, given: str) -> None:
    _, headers, _ = await client.ask("GET", "/livez", headers={"X-Request-ID": given})

    assert headers["X-Request-ID"] != given
    assert len(headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/v1/snapshot", "/metrics"])
async def test_every_answer_has_the_security_headers(client: Client, path: str) -> None:
    _, headers, _ = await client.ask("GET", path)

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_a_known_version_is_not_sent_again(client: Client) -> None:
    first, headers, _ = await client.ask("GET", "/v1/versioned")
    again, _, body = await client.ask(
        "GET", "/v1/versioned", headers={"If-None-Match": headers["ETag"]}
    )
    other, _, _ = await client.ask("GET", "/v1/versioned", headers={"If-None-Match": '"r6"'})

    assert (first, again, other) == (200, 304, 200)
    assert body == ""


async def test_head_is_get_without_a_body(client: Client) -> None:
    status, headers, body = await client.ask("HEAD", "/livez")

    assert (status, body) == (200, "")
    assert headers["Content-Type"].startswith("application/json")


# ── documentation ───────────────────────────────────────────────────────────────────────────


async def test_the_document_is_valid_openapi_and_names_every_route(
    api: Api, client: Client
) -> None:
    _, _, document = await client.ask("GET", "/openapi.json")

    validate(document)
    assert document["openapi"].startswith("3.1")
    operations = {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert {route.operation_id for route in api.routes()} <= set(operations)
    names = {each["name"]: each for each in operations["getPatient"]["parameters"]}
    assert names["patient_id"]["in"] == "path"
    assert names["limit"]["schema"]["maximum"] == 100
    assert "Idempotency-Key" in {p["name"] for p in operations["createOrder"]["parameters"]}
    assert "security" not in document


async def test_the_document_of_a_closed_api_tells_what_is_open(api: Api) -> None:
    async with running(api, WITH_TOKEN) as client:
        _, _, document = await client.ask(
            "GET", "/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}
        )

    validate(document)
    assert document["security"] == [{"token": []}]
    assert document["paths"]["/livez"]["get"]["security"] == []


def test_a_path_model_that_does_not_fit_its_template_is_refused() -> None:
    api = Api()
    wrong: AnyRoute = Route(
        method="GET",
        template="/v1/{other}",
        handler=api.patient,
        path=PatientPath,
        query=Page,
        operation_id="wrong",
        role=Role.READER,
        summary="",
        responses={200: Echo},
    )

    with pytest.raises(ValueError, match="template and path model differ"):
        make_app("Test", "1", [wrong], metrics_registry=CollectorRegistry())


def test_two_routes_of_one_operation_are_refused() -> None:
    routes = Api().routes()

    with pytest.raises(ValueError, match="more than one route"):
        make_app("Test", "1", [*routes, routes[0]], metrics_registry=CollectorRegistry())


# ── probes, metrics, logs ───────────────────────────────────────────────────────────────────


async def test_readiness_follows_its_checks_and_liveness_does_not(api: Api, client: Client) -> None:
    before, _, ready = await client.ask("GET", "/readyz")
    api.dependency_up = False
    after, _, unready = await client.ask("GET", "/readyz")
    alive, _, _ = await client.ask("GET", "/livez")

    assert (before, after, alive) == (200, 503, 200)
    assert ready == {"status": "ok", "checks": {"key_value": "ok"}}
    assert unready == {"status": "unavailable", "checks": {"key_value": "unavailable"}}


async def test_a_check_that_never_answers_is_a_failed_one() -> None:
    async def hanging() -> bool:
        await asyncio.Event().wait()
        return True

    async def working() -> bool:
        return True

    app = make_app(
        "Test",
        "1",
        (),
        metrics_registry=CollectorRegistry(),
        checks={"hanging": hanging, "working": working},
    )
    server = await serve(app, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        status, _, body = await Client(session, server.url).ask("GET", "/readyz")
    await server.stop()

    assert status == 503
    assert body["checks"] == {"hanging": "unavailable", "working": "ok"}


async def test_a_port_that_is_taken_is_unavailable(api: Api, client: Client) -> None:
    port = int(client.url.rpartition(":")[2])
    app = make_app("Test", "1", api.routes(), metrics_registry=CollectorRegistry())

    with pytest.raises(Unavailable, match="cannot be bound"):
        await serve(app, "127.0.0.1", port)


async def test_a_stream_without_events_ends_at_once() -> None:
    async def silent() -> AsyncGenerator[ServerEvent, None]:
        for event in ():
            yield event

    async def handler(call: Call) -> web.StreamResponse:
        return await stream_events(call, silent())

    route: AnyRoute = Route(
        method="GET",
        template="/silent",
        handler=handler,
        operation_id="silent",
        role=Role.READER,
        summary="",
        responses={200: EVENT_STREAM},
    )
    app = make_app("Test", "1", [route], metrics_registry=CollectorRegistry())
    server = await serve(app, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        status, _, body = await Client(session, server.url).ask("GET", "/silent")
    await server.stop()

    assert (status, body) == (200, "")


async def test_metrics_and_logs_hold_the_template_and_never_the_path(
    client: Client, logged: list[Any]
) -> None:
    await client.ask("GET", f"/v1/patients/{CANARY}?cursor={CANARY}", headers={"X-Request-ID": "r"})
    await client.ask("GET", f"/{CANARY}")
    await client.ask("GET", f"/v1/patients/{CANARY}?limit={CANARY}")
    await client.ask(CANARY, "/v1/orders")
    _, _, metrics = await client.ask("GET", "/metrics")

    lines = [line for line in logged if line["event"] == "request_answered"]
    assert [(line["route"], line["status"]) for line in lines][:3] == [
        ("/v1/patients/{patient_id}", 200),
        ("unmatched", 404),
        ("/v1/patients/{patient_id}", 422),
    ]
    assert lines[0]["request_id"] == "r"
    assert 'route="/v1/patients/{patient_id}",status="200"' in metrics
    assert CANARY not in metrics
    assert CANARY not in repr(logged)


async def test_an_unexpected_error_is_logged_without_local_variables(
    client: Client, logged: list[Any]
) -> None:
    status, headers, body = await client.ask("GET", f"/v1/patients/{CANARY}-2?fault=bug")

    assert status == 500
    assert "detail" not in body
    failed = next(line for line in logged if line["event"] == "request_failed")
    assert failed["request_id"] == headers["X-Request-ID"]
    assert f"{CANARY}-2" not in repr(logged)


async def test_a_malformed_request_is_400_and_not_quoted_in_a_log(
    client: Client, logged: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /{CANARY} HTTP/1.1\r\nbad header {CANARY}\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.readline(), DEADLINE_S)
    writer.close()
    await writer.wait_closed()

    assert b" 400 " in answer
    assert CANARY not in caplog.text
    assert CANARY not in repr(logged)


@pytest.mark.parametrize(
    "body",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"Content-Length: 100\r\n\r\n{",
    ],
    ids=["not a chunk", "half a chunk", "half a body"],
)
async def test_a_body_that_does_not_come_whole_is_no_fault_of_ours(
    api: Api, logged: list[Any], body: bytes
) -> None:
    async with running(api) as client:
        host, port = client.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/orders HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.write_eof()
        await asyncio.wait_for(reader.read(), DEADLINE_S)
        writer.close()
        await writer.wait_closed()

        alive, _, _ = await client.ask("GET", "/livez")

    assert alive == 200
    assert "request_failed" not in {line["event"] for line in logged}
    assert 500 not in {line.get("status") for line in logged}


# ── event streams ───────────────────────────────────────────────────────────────────────────


async def test_a_stream_gives_events_with_ids_heartbeats_and_its_end(
    api: Api, client: Client
) -> None:
    lines: list[str] = []
    async with client.session.get(client.url + "/v1/ticks") as response:
        assert response.content_type == EVENT_STREAM
        async for raw in response.content:
            lines.append(raw.decode().rstrip())
            if lines[-1].startswith(":"):
                api.release.set()

    assert [line for line in lines if line.startswith("id:")] == ["id: 1", "id: 2", "id: 3"]
    assert ": heartbeat" in lines
    assert lines[-4:-1] == ["id: 3", "event: end", 'data: {"number":3}']
    assert api.producer_ended.is_set()


async def test_a_snapshot_is_the_first_event_and_the_end(api: Api, client: Client) -> None:
    status, _, body = await client.ask("GET", "/v1/snapshot")

    assert status == 200
    assert body == 'id: 1\nevent: progress\ndata: {"number":1}\n\n'
    assert api.producer_ended.is_set()
    assert api.produced == 0


async def test_a_caller_who_leaves_ends_the_producer(api: Api, client: Client) -> None:
    async with client.session.get(client.url + "/v1/ticks") as response:
        await response.content.readline()
        response.close()

    await asyncio.wait_for(api.producer_ended.wait(), DEADLINE_S)
    assert not api.release.is_set()


async def test_a_server_that_stops_ends_its_streams(api: Api) -> None:
    app = make_app("Test", "1", api.routes(), metrics_registry=CollectorRegistry())
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=DEADLINE_S)
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url + "/v1/ticks") as response,
    ):
        await response.content.readline()

        await asyncio.wait_for(server.stop(), DEADLINE_S / 2)

        rest = await asyncio.wait_for(response.read(), DEADLINE_S)
    assert b"event: end" not in rest
    assert api.producer_ended.is_set()


async def test_a_producer_that_fails_ends_its_stream_with_a_problem(client: Client) -> None:
    _, _, body = await client.ask("GET", "/v1/ticks?fault=kv")

    assert "event: error" in body
    assert "key-value-unavailable" in body


async def test_a_fault_in_the_middle_of_a_stream_cuts_the_connection(client: Client) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask("GET", "/v1/ticks?fault=bug")


# ── who may call ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        (DIGEST, 401),
        (None, 401),
    ],
)
async def test_a_closed_api_answers_the_token_only(
    api: Api, authorization: str | None, status: int
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with running(api, WITH_TOKEN) as client:
        answered, got, _ = await client.ask("GET", "/v1/patients/P1", headers=headers)

    assert answered == status
    assert ("WWW-Authenticate" in got) == (status == 401)


async def test_a_closed_api_tells_strangers_nothing_but_that_it_lives(api: Api) -> None:
    async with running(api, WITH_TOKEN) as client:
        answered = {
            path: (await client.ask("GET", path))[0]
            for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/nowhere")
        }

    assert answered == {
        "/livez": 200,
        "/readyz": 200,
        "/metrics": 401,
        "/openapi.json": 401,
        "/nowhere": 401,
    }


async def test_without_authentication_another_host_name_is_refused(client: Client) -> None:
    rebound, _, _ = await client.ask("GET", "/v1/versioned", headers={"Host": "evil.example:80"})
    local, _, _ = await client.ask("GET", "/v1/versioned", headers={"Host": "localhost:80"})

    assert (rebound, local) == (421, 200)


async def test_a_page_of_another_origin_changes_nothing(client: Client) -> None:
    foreign, _, _ = await client.ask(
        "POST", "/v1/orders", json={"plan_label": "A"}, headers={"Origin": "https://evil.example"}
    )
    own, _, _ = await client.ask(
        "POST", "/v1/orders", json={"plan_label": "A"}, headers={"Origin": client.url}
    )

    assert (foreign, own) == (403, 202)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])  # noqa: S104
async def test_an_open_api_does_not_listen_beyond_loopback(api: Api, host: str) -> None:
    app = make_app("Test", "1", api.routes(), metrics_registry=CollectorRegistry())

    with pytest.raises(InvalidRequest, match="without authentication"):
        await serve(app, host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("sha256", ["", "abc", "A" * 64, "g" * 64])
def test_a_token_that_is_not_a_digest_is_refused(sha256: str) -> None:
    with pytest.raises(InvalidRequest):
        BearerToken(sha256)


# ── cursors ─────────────────────────────────────────────────────────────────────────────────


def test_a_cursor_comes_back_as_the_position_it_was() -> None:
    position = Position(after="Ångström/1?&")

    text = encode_cursor(position)

    assert decode_cursor(text, Position) == position
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text", ["", "%%%", "é", "AAAA", "A" * 2000, encode_cursor(Other(after="1")), "eyJ9"]
)
def test_what_is_not_a_cursor_of_this_listing_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="not a cursor"):
        decode_cursor(text, Position)
