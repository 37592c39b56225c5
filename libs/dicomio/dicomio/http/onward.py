"""Requests handed on to another service, and its answers back, as they flow.

The body of a request is read whole first: it is small (`Access.max_body_bytes`), a caller who sends it
slowly holds nothing of the other service, and its length is known, so that the two servers cannot
take different parts of the connection for it. Answers are handed on piece by piece.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from dicomcore.errors import InvalidRequest
from dicomio.http.binding import BODY_TIMEOUT_S
from dicomio.http.edge import REQUEST_ID
from dicomio.http.mounts import ANY_METHOD, Mount
from dicomio.http.problems import HttpProblem
from dicomio.http.routes import EVENT_STREAM
from dicomio.http.sse import STOPPING

log = structlog.get_logger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_TAKEN = (
    "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Type", "Idempotency-Key",
    "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
    "Last-Event-ID", "Range", "traceparent", "tracestate",
)  # fmt: skip
"""What of a request is handed on: what is not known is not, least of all what is about the connection."""
_NOT_GIVEN = frozenset(
    name.lower()
    for name in (
        # of the connection, RFC 9110 7.6.1
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "TE", "Trailer",
        "Transfer-Encoding", "Upgrade",
        # said anew by this server
        "Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Content-Length", "Date",
        "Server", "Set-Cookie", "X-Request-ID",
    )
)  # fmt: skip
_FORWARDED = re.compile(r"[0-9A-Za-z.:, \[\]_-]{0,500}", re.ASCII)
_HANDED_ON = "X-Handed-On"
"""That a request has come this way; once is enough."""
_PARTS = re.compile(r"[/\\]|%2f|%5c", re.IGNORECASE)
_DOTS = frozenset({".", ".."})
_LEFT_CHECK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OnwardOptions:
    """Where requests go, and how long is waited."""

    url: str
    """`http://host:port` or `https://…`, without a path."""
    connect_s: float = 5.0
    silence_s: float = 60.0
    """Between the request and its answer, and between two pieces of the answer; event streams send
    a heartbeat every ten seconds."""
    connections: int = 200
    retry_after_s: int = 5

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        whole = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme not in ("http", "https") or not parts.hostname or self.url != whole:
            raise InvalidRequest("another service is http://host:port, without a path")
        if "@" in parts.netloc:
            raise InvalidRequest("the address of another service holds no password")


class Onward:
    """Hands requests on to one service; made on the event loop that it is used on."""

    def __init__(self, options: OnwardOptions) -> None:
        self._options = options
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=options.connections, keepalive_timeout=10.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=options.connect_s, sock_read=options.silence_s
            ),
        )

    def mounts(self, prefixes: Sequence[str]) -> Sequence[Mount]:
        """Return what hands on the paths that are one of `prefixes`, or below one."""
        return [
            Mount(template=template, handler=self.hand_on, method=ANY_METHOD)
            for prefix in prefixes
            for template in (prefix, prefix + "/{below:.*}")
        ]

    async def hand_on(self, request: web.Request) -> web.StreamResponse:
        """Answer a request as the other service does.

        Raises
        ------
        HttpProblem
            400, 404, 405: nothing that is handed on. 408: the body did not come in time. 503: the
            other service is away, 504: it is silent, 502: its answer is none. 508: it is this one.
        """
        if request.method not in _METHODS:
            raise HttpProblem(HTTPStatus.METHOD_NOT_ALLOWED)
        if _HANDED_ON in request.headers:
            raise HttpProblem(HTTPStatus.LOOP_DETECTED, "handed on already")
        url = URL(self._options.url + _target(request), encoded=True)
        headers = _taken(request)
        body = await _body(request)
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                return await _given(request, answer)
        except (TimeoutError, aiohttp.ServerTimeoutError) as exc:
            raise self._problem(HTTPStatus.GATEWAY_TIMEOUT, "did not answer in time") from exc
        except (aiohttp.ClientConnectionError, OSError) as exc:
            raise self._problem(HTTPStatus.SERVICE_UNAVAILABLE, "does not answer") from exc
        except aiohttp.ClientError as exc:
            raise self._problem(HTTPStatus.BAD_GATEWAY, "answered what is no answer") from exc

    async def close(self) -> None:
        """Release connections."""
        await self._session.close()

    def _problem(self, status: HTTPStatus, what: str) -> HttpProblem:
        log.warning("onward_request_failed", status=int(status))
        headers = {"Retry-After": str(self._options.retry_after_s)}
        return HttpProblem(status, f"the service behind this one {what}", headers=headers)


def _target(request: web.Request) -> str:
    """Return path and query as they came.

    What one server takes for a step upwards the other may take for a name, so there are none.
    """
    path, query = request.rel_url.raw_path, request.rel_url.raw_query_string
    if any(unquote(part) in _DOTS for part in _PARTS.split(path)):
        raise HttpProblem(HTTPStatus.NOT_FOUND)
    if not (path + query).isascii():
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "an address is ASCII")
    return f"{path}?{query}" if query else path


async def _body(request: web.Request) -> bytes | None:
    if not request.body_exists:
        return None
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as exc:
        raise HttpProblem(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from exc
    except (ConnectionError, web.RequestPayloadError) as exc:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "the body did not come whole") from exc


def _taken(request: web.Request) -> Mapping[str, str]:
    headers = CIMultiDict(
        (name, ", ".join(request.headers.getall(name)))
        for name in _TAKEN
        if name in request.headers
    )
    if any(not (value.isascii() and value.isprintable()) for value in headers.values()):
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "headers are visible ASCII")
    headers[_HANDED_ON] = "1"
    headers["X-Request-ID"] = request[REQUEST_ID]
    before = request.headers.get("X-Forwarded-For", "")
    known = before.strip(", ") if _FORWARDED.fullmatch(before) else ""
    headers["X-Forwarded-For"] = ", ".join(filter(None, (known, request.remote)))
    return MappingProxyType(headers)


async def _given(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Send an answer as it comes; one that breaks off is broken off here, too."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    named = {name.strip().lower() for name in answer.headers.get("Connection", "").split(",")}
    for name, value in answer.headers.items():
        if name.lower() not in _NOT_GIVEN | named:
            response.headers.add(name, value)
    if "Content-Length" in answer.headers:
        response.headers["Content-Length"] = answer.headers["Content-Length"]
    try:
        await response.prepare(request)
        pieces = _events if answer.content_type == EVENT_STREAM else _whole
        await pieces(request, answer, response)
        await response.write_eof()
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        # either end has gone; whoever is still there must not take a part for the whole
        log.info("onward_answer_broken_off", error=type(exc).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response


async def _whole(
    request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse
) -> None:
    del request
    async for piece in answer.content.iter_any():
        await response.write(piece)


async def _events(
    request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse
) -> None:
    """Hand events on until either side ends: also a caller who leaves between two of them is noticed."""
    stopping = asyncio.ensure_future(request.app[STOPPING].wait())
    upcoming: asyncio.Future[bytes] | None = None
    try:
        while not stopping.done() and _is_there(request):
            upcoming = upcoming or asyncio.ensure_future(answer.content.readany())
            either: set[asyncio.Future[Any]] = {upcoming, stopping}
            await asyncio.wait(either, timeout=_LEFT_CHECK_S, return_when=asyncio.FIRST_COMPLETED)
            if upcoming.done():
                done, upcoming = upcoming, None
                piece = done.result()
                if not piece:
                    return
                await response.write(piece)
    finally:
        for future in (stopping, upcoming):
            if future is not None:
                future.cancel()
                await asyncio.gather(future, return_exceptions=True)


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
