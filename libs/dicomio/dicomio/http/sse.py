"""Server-Sent Events: a producer's values with ids and heartbeats, until either side ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from pydantic import BaseModel

from dicomcore.errors import DicomToolsError
from dicomio.http.problems import problem_of
from dicomio.http.routes import EVENT_STREAM, Call

log = structlog.get_logger(__name__)
HEARTBEAT_S = 10.0
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the server stops: streams end, for they would hold it up."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `id` comes back as Last-Event-ID when the caller reconnects."""

    data: BaseModel
    event: str = "progress"
    id: str = ""

    def encoded(self) -> bytes:
        """Return the event's lines. JSON holds no line break, so one `data` line is enough."""
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.event}\ndata: {self.data.model_dump_json()}\n\n".encode()


async def stream_events(
    call: Call[Any, Any, Any],
    events: AsyncGenerator[ServerEvent, None],
    *,
    follow: bool = True,
    heartbeat_s: float = HEARTBEAT_S,
) -> web.StreamResponse:
    """Send what `events` yields until it ends, the caller leaves, or the server stops.

    Parameters
    ----------
    events
        Yields at once the present state, then what changes. It is closed in every case.
    follow
        False: send the first event only, which is a snapshot.
    heartbeat_s
        A comment is sent when nothing else was for so long: proxies keep the connection open, and
        a caller who has left is noticed.

    Raises
    ------
    DicomToolsError
        The producer failed before its first event; later its error is sent as event `error`.
    """
    async with aclosing(events):
        try:
            first = await anext(events)
        except StopAsyncIteration:
            first = None
        response = web.StreamResponse(
            headers={"Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"}
        )
        await response.prepare(call.http)
        # the caller has left, which is how most streams end
        with suppress(ConnectionError):
            if first is not None:
                await response.write(first.encoded())
            if follow:
                await _follow(call, events, response, heartbeat_s)
            await response.write_eof()
    return response


async def _follow(
    call: Call[Any, Any, Any],
    events: AsyncGenerator[ServerEvent, None],
    response: web.StreamResponse,
    heartbeat_s: float,
) -> None:
    stopping = asyncio.ensure_future(call.http.app[STOPPING].wait())
    upcoming: asyncio.Future[ServerEvent] | None = None
    try:
        while not stopping.done():
            upcoming = upcoming or asyncio.ensure_future(anext(events))
            either: set[asyncio.Future[Any]] = {upcoming, stopping}
            await asyncio.wait(either, timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
            if upcoming.done():
                done, upcoming = upcoming, None
                await response.write(done.result().encoded())
            elif not stopping.done():
                await response.write(b": heartbeat\n\n")
    except StopAsyncIteration:
        return
    except DicomToolsError as exc:
        log.warning("event_stream_failed", problem=exc.sentence, **exc.facts)
        problem = problem_of(exc, request_id=call.request_id)
        await response.write(ServerEvent(problem, event="error").encoded())
    finally:
        await _cancelled(stopping, upcoming)


async def _cancelled(*futures: asyncio.Future[Any] | None) -> None:
    waiting: list[asyncio.Future[Any]] = [future for future in futures if future is not None]
    for future in waiting:
        future.cancel()
    if waiting:
        await asyncio.wait(waiting)
    for future in waiting:
        if not future.cancelled():
            future.exception()  # seen: what a producer says once nobody listens is of no use
