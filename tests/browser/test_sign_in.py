"""Signing in: with a token, or at an identity provider by code and PKCE; nothing secret stays behind."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import web
from playwright.sync_api import BrowserContext, expect
from prometheus_client import CollectorRegistry
from yarl import URL

from dicomio.http import Access, BearerToken, OidcOptions, Role, make_app, serve
from qr_gateway.front import Front
from tests.browser.world import DEADLINE_S, Visit
from tests.indexer_world import announce, embedded_parts, land, plan, running, structure_set
from tests.servers.identity_provider import AUDIENCE, Provider, identity_provider

T = TypeVar("T")
pytestmark = pytest.mark.browser
TOKEN = "the token of a reader on the ward"  # noqa: S105  # made up here
READER = BearerToken(
    hashlib.sha256(TOKEN.encode()).hexdigest(), name="ward", roles=frozenset({Role.READER})
)


@dataclass
class Authority:
    """Where people sign in; it lets everybody in, and checks PKCE (RFC 7636)."""

    provider: Provider
    url: str = ""
    challenges: dict[str, str] = field(default_factory=dict)

    async def authorize(self, request: web.Request) -> web.Response:
        asked = request.query
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == "page"
        code = f"code-{len(self.challenges)}"
        self.challenges[code] = asked["code_challenge"]
        back = URL(asked["redirect_uri"]).update_query(code=code, state=asked["state"])
        raise web.HTTPFound(str(back))

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        headers = {"Access-Control-Allow-Origin": request.headers["Origin"]}
        if self.challenges.pop(str(form["code"]), "") != challenge:
            return web.json_response({"error": "invalid_grant"}, status=400, headers=headers)
        token = self.provider.token(roles=["reader"])
        return web.json_response({"access_token": token}, headers=headers)


@asynccontextmanager
async def authority(provider: Provider) -> AsyncIterator[Authority]:
    """The sign-in of a provider, beside it."""
    made = Authority(provider)
    app = web.Application()
    app.router.add_get("/authorize", made.authorize)
    app.router.add_post("/token", made.token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[str]:
    """A page and an index that want to know who asks."""
    async with identity_provider() as provider, authority(provider) as place:
        provider.endpoints = {
            "authorization_endpoint": f"{place.url}/authorize",
            "token_endpoint": f"{place.url}/token",
        }
        oidc = OidcOptions(provider.issuer, AUDIENCE, client_id="page")
        access = Access(tokens=(READER,), oidc=oidc)
        front = Front(access, "1.2.3")
        async with embedded_parts(folder) as world, running(world):
            for dataset in (plan("1.2.3.30", structures="1.2.3.20"), structure_set("1.2.3.20")):
                await announce(world.bus, land(world.store, dataset))
            await world.settled(2)
            app = make_app(
                "page",
                "1",
                (*front.routes(), *world.indexer.routes()),
                metrics_registry=CollectorRegistry(),
                access=access,
                mounts=front.mounts(),
            )
            server = await serve(app, "127.0.0.1", 0, stop_timeout_s=2)
            try:
                yield server.url
            finally:
                await server.stop()
                await front.close()


@contextmanager
def in_thread(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What an asynchronous context gives, on a loop in a thread of its own."""
    given: Future[T] = Future()
    over = threading.Event()

    async def hold() -> None:
        try:
            async with make() as value:
                given.set_result(value)
                await asyncio.to_thread(over.wait)
        except BaseException as exc:
            if not given.done():
                given.set_exception(exc)
            raise

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    try:
        yield given.result(DEADLINE_S)
    finally:
        over.set()
        thread.join(DEADLINE_S)


@pytest.fixture(scope="module")
def guarded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it is."""
    folder = tmp_path_factory.mktemp("guarded")
    with in_thread(lambda: guarded(folder)) as url:
        yield url


def kept(visit: Visit) -> str:
    """Everything that the browser keeps for this page."""
    found = visit.page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])"
    )
    return str(found)


def test_a_token_opens_what_its_roles_allow_and_is_kept_nowhere(
    context: BrowserContext, guarded_url: str
) -> None:
    visit = Visit(context, guarded_url)
    page = visit.page
    page.goto(guarded_url)
    field = page.get_by_label("Access token")
    field.fill("another token")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator("main").get_by_role("alert")).to_be_visible()

    field.fill(TOKEN)
    field.press("Enter")

    expect(page.get_by_role("table", name="Patients found")).to_contain_text("P-1")
    expect(page.get_by_text("ward · reader")).to_be_visible()
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    expect(page.get_by_role("tab", name="From a PACS")).to_have_count(0)
    assert TOKEN not in kept(visit)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access token")).to_be_visible()


def test_an_identity_provider_signs_in_by_code_and_pkce(
    context: BrowserContext, guarded_url: str
) -> None:
    visit = Visit(context, guarded_url)
    page = visit.page
    page.goto(f"{guarded_url}/#/show")
    page.get_by_role("button", name="Sign in with your organisation").click()

    expect(page.get_by_role("table", name="Patients")).to_contain_text("P-1")
    expect(page.get_by_text("physicist-1 · reader")).to_be_visible()
    assert page.url == f"{guarded_url}/#/show"
    found = kept(visit)
    assert "eyJ" not in found
    assert "code" not in found
    assert visit.faults == []


def test_an_answer_that_nobody_here_asked_for_is_refused(
    context: BrowserContext, guarded_url: str
) -> None:
    visit = Visit(context, guarded_url)
    visit.page.goto(f"{guarded_url}/?code=stolen&state=of-somebody-else")

    expect(visit.page.get_by_text("This sign-in was not begun here.")).to_be_visible()
    expect(visit.page.get_by_label("Access token")).to_be_visible()
    assert "stolen" not in visit.page.url
