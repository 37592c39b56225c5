"""Connections of a listening server: bounded in number, and none kept by who only opens it."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from dicomio.http.headers import SECURITY_HEADERS
from dicomio.http.problems import problem_of_status, response_of

log = structlog.get_logger(__name__)
Connection = RequestHandler


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections, and for how long they may say nothing."""

    most: int = 1000
    """One more closes one that has no request: first those that never had one, the oldest first."""
    idle_s: float = 30.0
    """From the connection, or the end of an answer, to the whole head of the next request."""
    unread_s: float = 60.0
    """So long a caller may leave an answer unread before its connection is cut (Linux only)."""


class GuardedConnection(RequestHandler):
    """One connection of aiohttp's; what is no request is answered like everything else."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return a problem, and close; what was sent is neither quoted nor logged."""
        del message
        request_id = uuid.uuid4().hex
        log.info(
            "request_malformed", request_id=request_id, status=status, error=type(exc).__name__
        )
        if request.writer.output_size > 0:
            raise ConnectionError("the head of an answer is out already")
        problem = problem_of_status(status, request_id=request_id, detail="not an HTTP request")
        response = response_of(problem, {**SECURITY_HEADERS, "X-Request-ID": request_id})
        response.force_close()
        return response


class GuardedServer(web.Server):
    """aiohttp's server, with a limit on connections that wait for a request.

    A connection whose request is being handled is never closed for another one. Of the others the
    oldest is, when there is one too many: whoever opens ten thousand connections closes their own.
    One that brings no whole head within `idle_s` is closed however busily it sends.
    """

    def __init__(self, base: web.Server, limits: ConnectionLimits, **connections: Any) -> None:
        """Call whom `base` calls; `connections` is how they are made."""
        super().__init__(
            self._handled,
            request_factory=self._begun,
            keepalive_timeout=limits.idle_s,
            **connections,
        )
        self._handle = base.request_handler
        self._make = base.request_factory
        self._limits = limits
        self._silent: OrderedDict[Connection, asyncio.TimerHandle] = OrderedDict()
        """Connections that never had a request, and what ends them."""
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        """Those that had one, the one that was answered longest ago first."""
        self._number = 0

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return GuardedConnection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: Connection, transport: asyncio.Transport) -> None:
        """Count a new connection, and make room for it."""
        super().connection_made(handler, transport)
        _bound_unread(transport, self._limits.unread_s)
        self._number += 1
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(self._limits.idle_s, handler.force_close)
        if self._number > self._limits.most:
            oldest = next(iter(self._silent)) if len(self._silent) > 1 else None
            oldest = oldest or next(iter(self._idle), None) or handler
            log.debug("silent_connection_closed", open_connections=self._number)
            self._forget(oldest)
            oldest.force_close()

    def connection_lost(self, handler: Connection, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._number -= 1
        self._forget(handler)

    def _begun(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: Connection,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        self._forget(protocol)
        return self._make(message, payload, protocol, writer, task)

    async def _handled(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handle(request)
        finally:
            if request.transport is not None:
                self._idle[request.protocol] = None

    def _forget(self, handler: Connection) -> None:
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()
        self._idle.pop(handler, None)


class GuardedRunner(web.AppRunner):
    """aiohttp's runner, on a `GuardedServer`."""

    def __init__(
        self,
        app: web.Application,
        limits: ConnectionLimits,
        *,
        shutdown_timeout: float,
        **connections: Any,
    ) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._limits = limits
        self._connections = connections

    async def _make_server(self) -> web.Server:
        base = await super()._make_server()
        return GuardedServer(base, self._limits, **self._connections)


def _bound_unread(transport: asyncio.Transport, unread_s: float) -> None:
    """Have the kernel cut a connection whose other end takes nothing for so long."""
    connection = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None or connection is None or connection.family == getattr(socket, "AF_UNIX", 0):
        return
    connection.setsockopt(socket.IPPROTO_TCP, option, max(1, round(unread_s * 1000)))
