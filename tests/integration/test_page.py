"""The page's files: for anyone, with the headers that keep a browser from doing anything else."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from dicomio.http import Access, BearerToken, OidcOptions, Role, make_app, serve, site
from dicomio.http.site import TYPES
from qr_gateway.front import BANNER, Front
from tests.servers.identity_provider import AUDIENCE, Provider, identity_provider

DEADLINE_S = 30
TOKEN = "the token of a reader"  # noqa: S105  # made up here
READER = BearerToken(
    hashlib.sha256(TOKEN.encode()).hexdigest(), name="ward", roles=frozenset({Role.RETRIEVER})
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'{}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@asynccontextmanager
async def serving(access: Access, root: Path | None = None) -> AsyncIterator[Any]:
    """A gateway's front; `ask` returns status, headers and body of a request."""
    front = Front(access, "1.2.3")
    mounts = front.mounts() if root is None else site(root, front.policy)
    app = make_app(
        "page",
        "1",
        front.routes(),
        metrics_registry=CollectorRegistry(),
        access=access,
        mounts=mounts,
    )
    server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
    timeout = aiohttp.ClientTimeout(DEADLINE_S)
    async with aiohttp.ClientSession(
        timeout=timeout, auto_decompress=False, skip_auto_headers={"Accept-Encoding"}
    ) as session:

        async def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            url = server.url + path
            async with session.request(method, url, headers=named) as response:
                return response.status, response.headers, await response.read()

        ask.host, ask.port = server.host, server.port  # type: ignore[attr-defined]  # for raw requests
        try:
            yield ask
        finally:
            await server.stop()
            await front.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    (root / "core").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html>" + "<p>text</p>" * 100)
    (root / "core" / "api.js").write_text("export const a = 1;\n" * 100)
    (root / "tiny.css").write_text("a{}")
    (root / "notes.py").write_text("secret = 1")
    (root / ".hidden.js").write_text("no")
    (tmp_path / "outside.js").write_text("outside")
    return root


async def test_the_page_is_for_anyone_and_the_rest_is_not() -> None:
    async with serving(Access((READER,))) as ask:
        for path in ("/", "/index.html"):
            status, headers, body = await ask(path)
            assert status == 200
            assert headers["Content-Type"] == "text/html; charset=utf-8"
            assert body == (files("qr_gateway") / "web" / "index.html").read_bytes()

        for path in ("/v1/peers", "/openapi.json", "/metrics", "/nothing.js", "/v1"):
            status, _, _ = await ask(path)
            assert status == 401


async def test_every_file_of_the_page_is_there_under_its_own_type() -> None:
    root = Path(str(files("qr_gateway") / "web"))
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    async with serving(Access()) as ask:
        for name in names:
            status, headers, body = await ask(f"/{name}")
            assert status == 200, name
            assert body == (root / name).read_bytes()
            assert headers["Content-Type"] == TYPES[Path(name).suffix]


async def test_a_file_has_the_headers_of_the_page(folder: Path) -> None:
    async with serving(Access(), folder) as ask:
        _, headers, _ = await ask("/core/api.js")

    assert headers["Content-Security-Policy"] == POLICY.format("")
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_a_file_is_sent_again_only_if_it_has_changed(folder: Path) -> None:
    async with serving(Access(), folder) as ask:
        _, plain, body = await ask("/core/api.js")
        _, packed, small = await ask("/core/api.js", Accept_Encoding="br, gzip;q=0.5")
        assert gzip.decompress(small) == body
        assert packed["Content-Encoding"] == "gzip"
        assert packed["Vary"] == "Accept-Encoding"
        # strong entity tags: other bytes, another tag
        assert not plain["ETag"].startswith("W/")
        assert plain["ETag"] != packed["ETag"]

        for tag, encoding in ((plain["ETag"], "identity"), (packed["ETag"], "gzip")):
            status, headers, empty = await ask(
                "/core/api.js", If_None_Match=tag, Accept_Encoding=encoding
            )
            assert (status, empty, headers["ETag"]) == (304, b"", tag)
        status, _, _ = await ask("/core/api.js", If_None_Match='"other"')
        assert status == 200

    (folder / "core" / "api.js").write_text("export const a = 2;")
    async with serving(Access(), folder) as ask:
        status, headers, _ = await ask("/core/api.js", If_None_Match=plain["ETag"])
    assert status == 200
    assert headers["ETag"] != plain["ETag"]


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("*", True), ("gzip;q=0", False), ("br", False), ("", False), ("GZIP", True)],
)
async def test_a_file_is_compressed_for_who_takes_that(
    folder: Path, accepted: str, packed: bool
) -> None:
    async with serving(Access(), folder) as ask:
        _, headers, _ = await ask("/core/api.js", Accept_Encoding=accepted)
        assert (headers.get("Content-Encoding") == "gzip") is packed
        # what would not become smaller is never compressed
        _, headers, body = await ask("/tiny.css", Accept_Encoding=accepted)
        assert "Content-Encoding" not in headers
        assert body == b"a{}"


async def test_head_tells_what_get_would(folder: Path) -> None:
    async with serving(Access(), folder) as ask:
        _, got, body = await ask("/core/api.js")
        status, headers, empty = await ask("/core/api.js", "HEAD")

    assert (status, empty) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Security-Policy"):
        assert headers[name] == got[name]
    assert int(headers["Content-Length"]) == len(body)


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.js",
        "/core/../../outside.js",
        "/%2e%2e/outside.js",
        "/..%2foutside.js",
        "/core/..%5c..%5coutside.js",
        "/core//api.js",
        "/notes.py",
        "/.hidden.js",
        "/core",
        "/core/",
    ],
)
async def test_nothing_but_the_files_of_the_page_is_served(folder: Path, path: str) -> None:
    async with serving(Access((READER,)), folder) as ask:
        # clients clean such paths up; a hostile one does not
        reader, writer = await asyncio.open_connection(ask.host, ask.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {ask.host}:{ask.port}\r\n\r\n".encode())
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), DEADLINE_S)
        writer.close()
        await writer.wait_closed()

    assert line.split()[1] in (b"401", b"404", b"400")


async def test_a_page_cannot_be_written(folder: Path) -> None:
    async with serving(Access(), folder) as ask:
        for method in ("POST", "PUT", "DELETE"):
            status, _, _ = await ask("/index.html", method)
            assert status == 405


# ── sessions ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with identity_provider() as provider:
        yield provider


async def session_of(access: Access, **headers: str) -> tuple[int, Any]:
    async with serving(access) as ask:
        status, _, body = await ask("/v1/session", **headers)
        return status, json.loads(body)


async def test_without_authentication_everyone_here_may_do_everything() -> None:
    status, session = await session_of(Access())

    assert status == 200
    assert session["authentication"] == "none"
    assert session["methods"] == []
    assert session["principal"]["name"] == "local"
    assert set(session["principal"]["roles"]) == set(Role) - {Role.ANYONE}
    assert session["banner"] == BANNER == "Not validated for clinical use"
    assert session["version"] == "1.2.3"


async def test_who_has_no_token_yet_learns_that_one_is_needed() -> None:
    status, session = await session_of(Access((READER,)))

    assert status == 200
    assert session["authentication"] == "required"
    assert session["methods"] == ["token"]
    assert session["principal"] is None
    assert session["oidc"] is None


async def test_a_token_tells_whose_it_is_and_what_it_opens() -> None:
    status, session = await session_of(Access((READER,)), Authorization=f"Bearer {TOKEN}")

    assert status == 200
    assert session["principal"] == {
        "name": "ward",
        "issuer": "",
        "roles": ["monitor", "reader", "retriever"],
    }


async def test_a_wrong_token_is_refused() -> None:
    status, problem = await session_of(Access((READER,)), Authorization="Bearer wrong")

    assert status == 401
    assert problem["status"] == 401


async def test_where_to_sign_in_is_looked_up_by_the_server(provider: Provider) -> None:
    provider.endpoints = {
        "authorization_endpoint": f"{provider.issuer}/authorize",
        "token_endpoint": "http://127.0.0.1:1/token",
    }
    options = OidcOptions(provider.issuer, AUDIENCE, client_id="page", scopes=("openid", "roles"))
    async with serving(Access(oidc=options)) as ask:
        _, _, body = await ask("/v1/session")
        _, headers, _ = await ask("/")
        _, _, mine = await ask("/v1/session", Authorization=f"Bearer {provider.token()}")

    session = json.loads(body)
    assert session["methods"] == ["oidc"]
    assert session["oidc"] == {
        "issuer": provider.issuer,
        "client_id": "page",
        "authorization_endpoint": f"{provider.issuer}/authorize",
        "token_endpoint": "http://127.0.0.1:1/token",
        "end_session_endpoint": "",
        "scopes": ["openid", "roles"],
        "available": True,
    }
    # the page exchanges its code there, and reaches nobody else
    reached = f" {provider.issuer} http://127.0.0.1:1"
    assert headers["Content-Security-Policy"] == POLICY.format(reached)
    assert json.loads(mine)["principal"]["name"] == "physicist-1"
    assert json.loads(mine)["principal"]["issuer"] == provider.issuer


@pytest.mark.parametrize(
    "token_endpoint",
    ["javascript:alert(1)", "", None, "http://host; script-src *", "http://u@host/", 7],
)
async def test_a_provider_that_makes_no_sense_is_no_way_to_sign_in(
    provider: Provider, token_endpoint: Any
) -> None:
    provider.endpoints = {
        "authorization_endpoint": f"{provider.issuer}/authorize",
        "token_endpoint": token_endpoint,
    }
    options = OidcOptions(provider.issuer, AUDIENCE, client_id="page")
    async with serving(Access(oidc=options)) as ask:
        status, _, body = await ask("/v1/session")
        _, headers, _ = await ask("/")

    assert status == 200
    assert json.loads(body)["oidc"]["available"] is False
    assert json.loads(body)["oidc"]["token_endpoint"] == ""
    assert headers["Content-Security-Policy"] == POLICY.format(f" {provider.issuer}")


async def test_without_a_client_id_tokens_of_the_provider_are_typed_in(provider: Provider) -> None:
    _, session = await session_of(Access(oidc=OidcOptions(provider.issuer, AUDIENCE)))

    assert session["methods"] == ["token"]
    assert session["oidc"] is None
