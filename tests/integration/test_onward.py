"""Requests handed on to a second server over real connections: what passes, what does not, what breaks."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from dicomcore.errors import InvalidRequest
from dicomio.http import Access, BearerToken, Onward, OnwardOptions, Role, Server, make_app, serve
from qr_gateway.front import INDEXER_PATHS
from tests.servers.ports import free_ports
from tests.whole_api import whole_api

DEADLINE_S = 30
STOP_TIMEOUT_S = 20
TOKEN = "a token that the gateway knows"  # noqa: S105  # made up here
ACCESS = Access(
    (BearerToken(hashlib.sha256(TOKEN.encode()).hexdigest(), roles=frozenset({Role.MONITOR})),),
    max_body_bytes=10_000,
)
LARGE = bytes(range(256)) * 4096 * 8


@dataclass
class Behind:
    """The service behind: what it was asked, and how its next answer is made."""

    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, request.raw_path, headers, await request.read()))
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({"path": request.raw_path})


@dataclass
class World:
    url: str
    host: str
    port: int
    behind: Behind
    session: aiohttp.ClientSession
    server: Server

    async def ask(
        self, method: str, path: str, *, token: str = TOKEN, **how: Any
    ) -> tuple[int, Any, bytes]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= how.pop("headers", {})
        async with self.session.request(
            method, self.url + path, headers=headers, **how
        ) as response:
            return response.status, response.headers, await response.read()


async def handing_on(url: str, **options: Any) -> tuple[Server, Onward]:
    onward = Onward(OnwardOptions(url=url, **options))
    app = make_app(
        "front",
        "1",
        (),
        metrics_registry=CollectorRegistry(),
        access=ACCESS,
        mounts=onward.mounts(("/v1/plans", "/v1/exports")),
    )
    return await serve(app, "127.0.0.1", 0, stop_timeout_s=STOP_TIMEOUT_S), onward


@pytest.fixture
async def world() -> AsyncIterator[World]:
    behind = Behind()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{any:.*}", behind.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server, onward = await handing_on(f"http://127.0.0.1:{runner.addresses[0][1]}", silence_s=5)
    timeout = aiohttp.ClientTimeout(DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        yield World(server.url, server.host, server.port, behind, session, server)
    await server.stop()
    await onward.close()
    await runner.cleanup()


async def test_a_request_arrives_as_it_was_sent(world: World) -> None:
    headers = {
        "Idempotency-Key": "key 1",
        "Accept": "application/zip",
        "Content-Type": "application/json; charset=utf-8",
        "Range": "bytes=0-9",
        "If-None-Match": '"abc"',
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Request-ID": "request-1",
        "Last-Event-ID": "7",
    }
    path = "/v1/exports/a%2Fb%20c?label=x%26y&label=z&empty="

    status, _, _ = await world.ask("POST", path, headers=headers, data=b'{"a": 1}')

    assert status == 200
    [(method, asked, seen, body)] = world.behind.asked
    assert (method, asked, body) == ("POST", path, b'{"a": 1}')
    for name, value in headers.items():
        assert seen[name.lower()] == value
    assert seen["authorization"] == f"Bearer {TOKEN}"
    assert seen["x-forwarded-for"] == "127.0.0.1"


async def test_what_is_about_the_connection_or_not_known_stays_here(world: World) -> None:
    await world.ask(
        "GET",
        "/v1/plans",
        headers={
            "Connection": "keep-alive, X-Secret",
            "X-Secret": "1",
            "Cookie": "a=b",
            "TE": "trailers",
            "Proxy-Authorization": "Basic eDp5",
            "X-Forwarded-For": "10.1.2.3",
            "Origin": world.url,
            "X-Original-URL": "/admin",
        },
    )

    [(_, _, seen, _)] = world.behind.asked
    assert not {"x-secret", "cookie", "te", "proxy-authorization", "origin", "x-original-url"} & {
        *seen
    }
    assert seen["x-forwarded-for"] == "10.1.2.3, 127.0.0.1"
    assert seen["host"] != f"{world.host}:{world.port}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_every_method_of_the_api_passes(world: World, method: str) -> None:
    status, _, _ = await world.ask(method, "/v1/plans/1")

    assert status == 200
    assert world.behind.asked[0][0] == method


async def test_an_answer_comes_back_as_it_was_given(world: World) -> None:
    packed = gzip.compress(b"text" * 1000)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            status=206,
            body=packed,
            headers={
                "Content-Type": "application/zip",
                "Content-Encoding": "gzip",
                "Content-Range": "bytes 0-9/100",
                "ETag": '"e"',
                "Location": "/v1/exports/1",
                "Retry-After": "7",
                "Content-Disposition": 'attachment; filename="x.zip"',
                "Connection": "X-Hop",
                "X-Hop": "1",
                "Set-Cookie": "a=b",
                "Server": "secret/1",
            },
        )

    world.behind.answer = answer
    status, headers, body = await world.ask("GET", "/v1/exports/1")

    assert (status, body) == (206, packed)
    assert headers["Content-Type"] == "application/zip"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Range"] == "bytes 0-9/100"
    assert headers["ETag"] == '"e"'
    assert headers["Location"] == "/v1/exports/1"
    assert headers["Retry-After"] == "7"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Hop" not in headers
    assert "Set-Cookie" not in headers
    assert headers["Server"] != "secret/1"


@pytest.mark.parametrize("status", [204, 304, 400, 403, 404, 409, 422, 500, 503])
async def test_a_status_comes_back_as_it_was_given(world: World, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = None if status in (204, 304) else b'{"status": 1}'
        return web.Response(
            status=status,
            body=body,
            headers={"ETag": '"e"'},
            content_type="application/problem+json",
        )

    world.behind.answer = answer
    got, headers, body = await world.ask("GET", "/v1/plans")

    assert got == status
    assert headers["ETag"] == '"e"'
    assert body == (b"" if status in (204, 304) else b'{"status": 1}')
    # the connection is still good for the next one
    world.behind.answer = None
    assert (await world.ask("GET", "/v1/plans"))[0] == 200


async def test_a_head_request_has_the_length_and_no_body(world: World) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1234)

    world.behind.answer = answer
    status, headers, body = await world.ask("HEAD", "/v1/exports/1")

    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == "1234"


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_large_download_flows(world: World, chunked: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/zip"})
        if not chunked:
            response.content_length = len(LARGE)
        await response.prepare(request)
        for start in range(0, len(LARGE), 100_000):
            await response.write(LARGE[start : start + 100_000])
        return response

    world.behind.answer = answer
    status, headers, body = await world.ask("GET", "/v1/exports/1")

    assert status == 200
    assert hashlib.sha256(body).digest() == hashlib.sha256(LARGE).digest()
    assert ("Content-Length" in headers) is not chunked


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/zip"])
async def test_each_piece_arrives_before_the_next_one_is_made(
    world: World, media_type: str
) -> None:
    read = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": media_type})
        await response.prepare(request)
        for number in range(3):
            await response.write(f"data: {number}\n\n".encode())
            await asyncio.wait_for(read.wait(), DEADLINE_S)
            read.clear()
        return response

    world.behind.answer = answer
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with world.session.get(world.url + "/v1/exports/1/events", headers=headers) as response:
        for number in range(3):
            assert await response.content.readany() == f"data: {number}\n\n".encode()
            read.set()
        assert await response.content.readany() == b""


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/zip"])
async def test_a_caller_who_leaves_is_noticed_behind(world: World, media_type: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": media_type})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        try:
            while True:  # silent for ever, or busy for ever
                if media_type == "text/event-stream":
                    await asyncio.Event().wait()
                await response.write(b"x" * 100_000)
        finally:
            world.behind.left.set()

    world.behind.answer = answer
    headers = {"Authorization": f"Bearer {TOKEN}"}
    response = await world.session.get(world.url + "/v1/exports/1/events", headers=headers)
    assert (await response.content.readany()).startswith(b"data: 1\n\n")
    response.close()

    await asyncio.wait_for(world.behind.left.wait(), DEADLINE_S)


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/zip"])
async def test_an_answer_that_breaks_off_is_no_whole_one(world: World, media_type: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": media_type})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    world.behind.answer = answer
    with pytest.raises(aiohttp.ClientError):
        await world.ask("GET", "/v1/exports/1")


async def test_streams_end_when_the_server_stops(world: World) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await asyncio.Event().wait()
        return response

    world.behind.answer = answer
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with world.session.get(world.url + "/v1/exports/1/events", headers=headers) as response:
        assert await response.content.readany() == b"data: 1\n\n"
        async with asyncio.timeout(STOP_TIMEOUT_S / 2):
            await world.server.stop()
            assert await response.content.readany() == b""


# ── who may ─────────────────────────────────────────────────────────────────────────────────


async def test_nobody_gets_through_without_a_token_that_is_known_here(world: World) -> None:
    for token in ("", "wrong"):
        status, _, _ = await world.ask("GET", "/v1/plans", token=token)
        assert status == 401
    assert world.behind.asked == []


async def test_what_a_known_caller_may_do_is_said_behind(world: World) -> None:
    # the token gives next to nothing here; the service behind reads it again
    status, _, _ = await world.ask("DELETE", "/v1/exports/1")

    assert status == 200
    assert world.behind.asked[0][2]["authorization"] == f"Bearer {TOKEN}"


async def test_a_page_of_another_origin_gets_nothing_through(world: World) -> None:
    status, _, _ = await world.ask(
        "POST", "/v1/exports", headers={"Origin": "https://elsewhere.invalid"}, data=b"{}"
    )

    assert status == 403
    assert world.behind.asked == []


async def test_only_the_paths_of_the_table_are_handed_on(world: World) -> None:
    for path in ("/v1/plansible", "/v1", "/metrics2", "/v2/plans"):
        status, _, _ = await world.ask("GET", path)
        assert status == 404
    assert world.behind.asked == []


# ── hostile requests ────────────────────────────────────────────────────────────────────────


async def raw(world: World, head: str, body: bytes = b"") -> bytes:
    """What a hostile client is answered, up to the end of the connection."""
    reader, writer = await asyncio.open_connection(world.host, world.port)
    lines = f"{head}\r\nHost: {world.host}:{world.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    writer.write(lines.replace("\n\r\n", "\n").encode("latin-1") + body)
    await writer.drain()
    got = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE_S):
            while not got.endswith(b"}") and (piece := await reader.read(65536)):
                got += piece
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return got


@pytest.mark.parametrize(
    "path",
    [
        "/v1/plans/../../metrics",
        "/v1/plans/%2e%2e/%2e%2e/metrics",
        "/v1/plans/..%2f..%2fmetrics",
        "/v1/plans/..%5c..%5cmetrics",
        "/v1/plans/./x",
        "/v1/plans/.",
    ],
)
async def test_no_step_upwards_leaves_the_paths_of_the_table(world: World, path: str) -> None:
    got = await raw(world, f"GET {path} HTTP/1.1", b"\r\n")

    assert got.split()[1] == b"404"
    assert world.behind.asked == []


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (
            "Content-Length: 6\r\nTransfer-Encoding: chunked",
            b"0\r\n\r\nGET /v1/plans/2 HTTP/1.1\r\n\r\n",
        ),
        ("Content-Length: 5\r\nContent-Length: 6", b"123456"),
        ("Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
        ("Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
        ("Content-Length: +5", b"12345"),
        ("Content-Length : 5", b"12345"),
        ("X: a\r\n Transfer-Encoding: chunked", b"0\r\n\r\n"),
    ],
)
async def test_no_second_request_is_smuggled_in(world: World, fields: str, body: bytes) -> None:
    got = await raw(
        world,
        f"POST /v1/plans/1 HTTP/1.1\r\n{fields}\r\nContent-Type: application/json",
        b"\r\n" + body,
    )

    assert got.split()[1] == b"400"
    assert world.behind.asked == []


@pytest.mark.parametrize("head", ["GET http://elsewhere.invalid/v1/plans HTTP/1.1"])
async def test_an_absolute_address_leads_to_no_other_server(world: World, head: str) -> None:
    got = await raw(world, head, b"\r\n")

    assert got.startswith(b"HTTP/1.1 ")
    assert [path for _, path, _, _ in world.behind.asked] in ([], ["/v1/plans"])


async def test_a_header_that_is_no_text_is_refused(world: World) -> None:
    got = await raw(world, "GET /v1/plans HTTP/1.1\r\nAccept: text/\xff\xfe", b"\r\n")

    assert got.split()[1] == b"400"
    assert world.behind.asked == []


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_beyond_the_limit_goes_nowhere(world: World, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    status, _, body = await world.ask(
        "POST", "/v1/exports", data=pieces() if chunked else b"x" * 20_000
    )

    assert status == 413
    assert json.loads(body)["status"] == 413
    assert world.behind.asked == []


# ── faults ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def plans_of(server: Server) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session,
        session.get(server.url + "/v1/plans", headers=headers) as response,
    ):
        yield response


async def test_a_service_that_is_away_is_said_to_be_away() -> None:
    server, onward = await handing_on(f"http://127.0.0.1:{free_ports(1)[0]}")
    async with plans_of(server) as response:
        problem = json.loads(await response.text())
        assert response.status == problem["status"] == 503
        assert response.content_type == "application/problem+json"
        assert int(response.headers["Retry-After"]) > 0
    await server.stop()
    await onward.close()


async def test_a_service_that_is_silent_is_not_waited_for(world: World) -> None:
    never = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    world.behind.answer = answer
    status, headers, body = await world.ask("GET", "/v1/plans")

    assert status == 504
    assert json.loads(body)["status"] == 504
    assert "Retry-After" in headers


async def test_what_is_no_http_is_a_bad_gateway() -> None:
    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SMTP ready\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server, onward = await handing_on(f"http://127.0.0.1:{port}")
    async with plans_of(server) as response:
        assert response.status == 502
    await server.stop()
    await onward.close()
    listening.close()
    await listening.wait_closed()


async def test_a_gateway_that_is_its_own_service_goes_round_once() -> None:
    port = free_ports(1)[0]
    onward = Onward(OnwardOptions(url=f"http://127.0.0.1:{port}"))
    app = make_app(
        "front",
        "1",
        (),
        metrics_registry=CollectorRegistry(),
        access=ACCESS,
        mounts=onward.mounts(("/v1/plans",)),
    )
    server = await serve(app, "127.0.0.1", port, stop_timeout_s=2)
    async with plans_of(server) as response:
        assert response.status == 508
    await server.stop()
    await onward.close()


@pytest.mark.parametrize(
    "url",
    ["", "indexer:8080", "ftp://indexer", "http://", "http://a/b", "http://u:p@a", "http://a?x=1"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        OnwardOptions(url=url)


# ── the table ───────────────────────────────────────────────────────────────────────────────


async def test_the_table_names_every_path_of_the_indexer_and_none_of_the_gateway(
    tmp_path: Path,
) -> None:
    async with whole_api(tmp_path) as api:
        paths = {
            service: [path for path in document["paths"] if path.startswith("/v1/")]
            for service, document in api.documents.items()
        }

    def handed_on(path: str) -> bool:
        return any(path == one or path.startswith(f"{one}/") for one in INDEXER_PATHS)

    assert [path for path in paths["indexer"] if not handed_on(path)] == []
    assert [path for path in paths["qr-gateway"] if handed_on(path)] == []
    assert paths["indexer"]
