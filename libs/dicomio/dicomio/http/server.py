"""A listening HTTP server; beyond loopback only with authentication."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from dicomcore.errors import InvalidRequest, Unavailable
from dicomio.http.app import AUTHENTICATED
from dicomio.http.connections import ConnectionLimits, GuardedRunner
from dicomio.http.loopback import is_loopback

log = structlog.get_logger(__name__)
STOP_TIMEOUT_S = 10.0
LIMITS = ConnectionLimits()
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Server:
    """An application that listens."""

    host: str
    port: int
    """As bound: never 0."""
    url: str
    """Without a slash at the end."""
    _runner: web.AppRunner = field(repr=False)

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        server = self._runner.server
        return 0 if server is None else len(server.connections)

    async def stop(self) -> None:
        """Stop listening, end event streams, let other requests finish, then cut what is left."""
        await self._runner.cleanup()
        log.info("http_server_stopped", port=self.port)


async def serve(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    stop_timeout_s: float = STOP_TIMEOUT_S,
    limits: ConnectionLimits = LIMITS,
) -> Server:
    """Listen, and return once requests are answered.

    Parameters
    ----------
    port
        0: any free one.
    stop_timeout_s
        How long `stop` waits for requests that are being answered.
    limits
        Of connections that are opened, and not used.

    Raises
    ------
    InvalidRequest
        `host` is not loopback and the application has no authentication: fail closed.
    Unavailable
        The address cannot be bound.
    """
    if not is_loopback(host) and not app[AUTHENTICATED]:
        raise InvalidRequest("will not listen beyond loopback without authentication", host=host)
    # neither the access log nor that of malformed requests: both quote what was sent, and a path
    # or a query string may hold a patient ID; the edge writes one line per request itself
    silent = logging.Logger("dicomio.http.framework")  # noqa: LOG001  # nobody else's
    silent.disabled = True
    runner = GuardedRunner(
        app, limits, shutdown_timeout=stop_timeout_s, access_log=None, logger=silent
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as exc:
        await runner.cleanup()
        raise Unavailable("address cannot be bound", host=host, port=port) from exc
    bound: int = runner.addresses[0][1]
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if tls is None else "https"
    log.info("http_server_started", host=host, port=bound)
    return Server(host=host, port=bound, url=f"{scheme}://{shown}:{bound}", _runner=runner)
