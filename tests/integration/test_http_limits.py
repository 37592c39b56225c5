"""Callers that ask too often, too much, too slowly, or from elsewhere; and the service stays well."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from dicomcore.errors import InvalidRequest
from dicomio.http import (
    Access,
    BearerToken,
    Call,
    ConnectionLimits,
    Input,
    Nothing,
    Rate,
    Role,
    Route,
    Server,
    make_app,
    serve,
)
from dicomio.http.auth import LOOPBACK_ONLY
from dicomio.http.buckets import Buckets
from dicomio.http.tokens import parse_tokens, read_tokens
from tests.open_files import HALF_OPEN, for_connections
from tests.servers.certificates import Authority

DEADLINE_S = 60.0
PAGE = "https://page.example.org"


class Order(Input):
    words: str


class Done(BaseModel):
    words: int


async def count_words(call: Call[Nothing, Nothing, Order]) -> Done:
    return Done(words=len(call.body.words.split()))


async def much(_: Call) -> web.StreamResponse:
    return web.Response(body=bytes(64 << 20), content_type="application/octet-stream")


ROUTES = (
    Route(
        method="POST",
        template="/v1/orders",
        handler=count_words,
        body=Order,
        operation_id="countWords",
        role=Role.READER,
        summary="",
        responses={200: Done},
    ),
    Route(
        method="GET",
        template="/v1/much",
        handler=much,
        operation_id="getMuch",
        role=Role.READER,
        summary="",
        responses={200: "application/octet-stream"},
    ),
)


@asynccontextmanager
async def running(
    access: Access = LOOPBACK_ONLY, limits: ConnectionLimits | None = None
) -> AsyncIterator[Server]:
    app = make_app("Test", "1", ROUTES, metrics_registry=CollectorRegistry(), access=access)
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2, limits=limits or ConnectionLimits())
    yield server
    await server.stop()


def token(text: str, name: str) -> BearerToken:
    return BearerToken(
        hashlib.sha256(text.encode()).hexdigest(), name=name, roles=frozenset({Role.READER})
    )


async def status_of(
    server: Server, path: str = "/livez", **headers: str
) -> tuple[int, aiohttp.typedefs.LooseHeaders]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(server.url + path, headers=headers) as response,
    ):
        await response.read()
        return response.status, response.headers


# ── how often ───────────────────────────────────────────────────────────────────────────────


async def test_a_caller_who_asks_too_often_is_told_when_to_come_again() -> None:
    access = Access((token("a", "one"), token("b", "two")), rate=Rate(per_s=0.01, burst=3))
    async with running(access) as server:
        answers = [await status_of(server, "/metrics", Authorization="Bearer a") for _ in range(4)]
        other, _ = await status_of(server, "/metrics", Authorization="Bearer b")

        assert [status for status, _ in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1][1]["Retry-After"]) <= 100  # type: ignore[index,call-overload]
        assert other == 200
        # probes are not limited: a full bucket must not have the service restarted
        assert (await status_of(server))[0] == 200


async def test_an_address_with_wrong_tokens_is_slowed_and_the_right_one_still_works() -> None:
    access = Access((token("a", "one"),), failures=Rate(per_s=0.01, burst=2))
    async with running(access) as server:
        wrong = [(await status_of(server, "/metrics", Authorization="Bearer x"))[0] for _ in "123"]
        right, _ = await status_of(server, "/metrics", Authorization="Bearer a")

    assert (wrong, right) == ([401, 401, 429], 200)


def test_a_bucket_fills_again_and_never_above_its_burst() -> None:
    now = [0.0]
    buckets = Buckets(Rate(per_s=2.0, burst=3), clock=lambda: now[0])

    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    now[0] += 0.5
    assert buckets.take("a") == 0.0
    now[0] += 1000.0
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_so_many_names_do_not_take_more_memory() -> None:
    buckets = Buckets(Rate(per_s=1.0, burst=1), most=2, clock=lambda: 0.0)
    for name in ("a", "b", "c"):
        buckets.take(name)

    assert buckets.take("c") > 0
    assert buckets.take("a") == 0.0


@pytest.mark.parametrize(("per_s", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0), (float("nan"), 1)])
def test_a_rate_that_lets_nobody_in_is_refused(per_s: float, burst: int) -> None:
    with pytest.raises(InvalidRequest):
        Rate(per_s, burst)


# ── from where ──────────────────────────────────────────────────────────────────────────────


async def asked(server: Server, method: str, **headers: str) -> tuple[int, dict[str, str]]:
    how = {"headers": headers, "json": {"words": "a b"}}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{server.url}/v1/orders", **how) as response,  # type: ignore[arg-type]
    ):
        return response.status, dict(response.headers)


PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


async def test_without_an_allow_list_no_page_of_another_origin_may_call() -> None:
    async with running(Access((token("a", "one"),))) as server:
        status, headers = await asked(server, "OPTIONS", **PREFLIGHT)
        posted, _ = await asked(server, "POST", Origin=PAGE, Authorization="Bearer a")

    assert status == 401
    assert posted == 403
    assert not [name for name in headers if name.startswith("Access-Control")]


async def test_a_page_of_an_allowed_origin_may_call_with_a_token_only() -> None:
    access = Access((token("a", "one"),), cors_origins=frozenset({PAGE}))
    async with running(access) as server:
        before, said = await asked(server, "OPTIONS", **PREFLIGHT)
        status, headers = await asked(server, "POST", Origin=PAGE, Authorization="Bearer a")
        without, refused = await asked(server, "POST", Origin=PAGE)
        elsewhere, other = await asked(
            server, "POST", Origin="https://evil.example.org", Authorization="Bearer a"
        )

    assert (before, said["Access-Control-Allow-Origin"]) == (204, PAGE)
    assert "Authorization" in said["Access-Control-Allow-Headers"]
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert (without, refused["Access-Control-Allow-Origin"]) == (401, PAGE)
    assert elsewhere == 403
    assert "Access-Control-Allow-Origin" not in other
    assert "Access-Control-Allow-Credentials" not in headers
    assert other["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["*", "null", "page.example.org", f"{PAGE}/", "ftp://x", PAGE.upper()]
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(InvalidRequest):
        Access(cors_origins=frozenset({origin}))


# ── how slowly, and how many ────────────────────────────────────────────────────────────────


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes."""
    async with asyncio.timeout(DEADLINE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_connection_without_a_whole_head_is_closed(sent: bytes) -> None:
    async with running(limits=ConnectionLimits(idle_s=0.3)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)

        assert await end_of(reader) == b""
        writer.close()


async def test_a_head_that_comes_byte_by_byte_is_not_waited_for() -> None:
    async with running(limits=ConnectionLimits(idle_s=0.5)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nX: ")

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await end_of(reader) == b""
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()


async def test_an_idle_connection_that_was_answered_is_closed_too() -> None:
    async with running(limits=ConnectionLimits(idle_s=0.3)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert (await end_of(reader)).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs Linux")
async def test_an_answer_that_nobody_reads_does_not_hold_its_connection() -> None:
    async with running(limits=ConnectionLimits(unread_s=0.5)) as server:
        loop = asyncio.get_running_loop()
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(connection, ("127.0.0.1", server.port))
        await loop.sock_sendall(connection, b"GET /v1/much HTTP/1.1\r\nHost: localhost\r\n\r\n")

        async with asyncio.timeout(DEADLINE_S):
            while server.open_connections:
                await asyncio.sleep(0.05)
        connection.close()


async def test_connections_that_say_nothing_make_room_for_one_that_asks() -> None:
    limits = ConnectionLimits(most=100, idle_s=DEADLINE_S)
    silent: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    with for_connections(HALF_OPEN) as possible:
        try:
            async with running(limits=limits) as server:
                for number in range(possible):
                    connection = socket.socket()
                    connection.setblocking(False)
                    silent.append(connection)
                    await loop.sock_connect(connection, ("127.0.0.1", server.port))
                    if number % 500 == 0:
                        assert (await status_of(server))[0] == 200

                statuses = await asyncio.gather(*(status_of(server) for _ in range(20)))

                assert {status for status, _ in statuses} == {200}
                assert server.open_connections <= limits.most
        finally:
            for connection in silent:
                connection.close()
            gc.collect()


async def test_a_request_that_is_being_answered_is_not_closed_for_others() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_: Call) -> Done:
        begun.set()
        await go.wait()
        return Done(words=1)

    route = Route(
        method="GET",
        template="/v1/slow",
        handler=slow,
        operation_id="slow",
        role=Role.READER,
        summary="",
        responses={200: Done},
    )
    app = make_app("Test", "1", [route], metrics_registry=CollectorRegistry())
    limits = ConnectionLimits(most=3, idle_s=DEADLINE_S)
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2, limits=limits)
    asking = asyncio.create_task(status_of(server, "/v1/slow"))
    await begun.wait()

    writers = [(await asyncio.open_connection("127.0.0.1", server.port))[1] for _ in range(10)]
    go.set()

    assert (await asking)[0] == 200
    for writer in writers:
        writer.close()
    await server.stop()


# ── what ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /livez\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    ],
    ids=["long header", "long path", "many headers", "length", "smuggling", "NUL", "TLS hello"],
)
async def test_what_is_no_request_is_refused_and_the_next_one_is_answered(raw: bytes) -> None:
    async with running(limits=ConnectionLimits(idle_s=1.0)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(raw)

        answer = await end_of(reader)

        assert not answer.startswith(b"HTTP/1.1 2"), answer[:100]
        assert b"Traceback" not in answer
        assert not answer or b"application/problem+json" in answer
        assert not answer or b"nosniff" in answer
        assert (await status_of(server))[0] == 200
        writer.close()


@pytest.mark.parametrize("name", ["X-Request-ID", "Origin", "Host"])
@pytest.mark.parametrize(
    "value", ["a\r\nX-Injected: yes", "a\nX-Injected: yes", "a%0d%0aX-Injected: yes"]
)
async def test_nothing_that_is_sent_becomes_a_header_of_the_answer(name: str, value: str) -> None:
    access = Access((token("a", "one"),), cors_origins=frozenset({PAGE}))
    async with running(access, ConnectionLimits(idle_s=1.0)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET /livez HTTP/1.1\r\n{name}: {value}\r\nConnection: close\r\n\r\n".encode()
        )

        head = (await end_of(reader)).partition(b"\r\n\r\n")[0]
        writer.close()

    assert b"\nx-injected" not in head.lower()


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"])
async def test_a_path_leads_nowhere_but_to_a_route(path: str) -> None:
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )

        answer = await end_of(reader)
        writer.close()

    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.1 421")), answer[:60]
    assert b"root:" not in answer


async def test_over_tls_a_browser_is_told_to_stay_there_and_otherwise_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    ours = authority.issue("server")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(ours.cert_file, ours.key_file)
    trusting = ssl.create_default_context(cafile=authority.ca_file)
    app = make_app("Test", "1", ROUTES, metrics_registry=CollectorRegistry())
    server = await serve(app, "127.0.0.1", 0, tls=tls, stop_timeout_s=2)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://localhost:{server.port}/livez", ssl=trusting) as response,
    ):
        secure = dict(response.headers)
    await server.stop()
    async with running() as plain:
        _, headers = await status_of(plain)

    assert secure["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in headers
    assert secure["X-Frame-Options"] == "DENY"


# ── how tokens are configured ───────────────────────────────────────────────────────────────

DIGEST = "0" * 64


def test_tokens_are_read_with_their_names_and_roles() -> None:
    tokens = parse_tokens(
        json.dumps(
            {
                "ci": {"sha256": DIGEST, "roles": ["reader"]},
                "ops": {"sha256": [DIGEST, "1" * 64], "roles": ["admin", "monitor"]},
            }
        )
    )

    assert [(each.name, each.roles) for each in tokens] == [
        ("ci", {Role.READER}),
        ("ops", {Role.ADMIN, Role.MONITOR}),
        ("ops", {Role.ADMIN, Role.MONITOR}),
    ]
    assert DIGEST not in repr(tokens)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"a": {"sha256": "DIGEST"}}',
        '{"a": {"sha256": "DIGEST", "roles": []}}',
        '{"a": {"sha256": "DIGEST", "roles": ["anyone"]}}',
        '{"a": {"sha256": "DIGEST", "roles": ["root"]}}',
        '{"a": {"sha256": "secret in clear", "roles": ["reader"]}}',
        '{"a\\nb": {"sha256": "DIGEST", "roles": ["reader"]}}',
        '{"a": {"sha256": "DIGEST", "roles": ["reader"], "role": "admin"}}',
    ],
)
def test_tokens_that_cannot_be_understood_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_tokens(text.replace("DIGEST", DIGEST))

    assert DIGEST not in str(refused.value)
    assert "secret in clear" not in str(refused.value)


def test_tokens_come_from_a_file_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tokens")
    toml, js = folder / "t.toml", folder / "t.json"
    toml.write_text(f'[tokens.ci]\nsha256 = "{DIGEST}"\nroles = ["exporter"]\n')
    js.write_text(json.dumps({"tokens": {"ci": {"sha256": DIGEST, "roles": ["exporter"]}}}))

    assert read_tokens(toml) == read_tokens(js)
    with pytest.raises(InvalidRequest, match="cannot be opened"):
        read_tokens(folder / "absent.json")
