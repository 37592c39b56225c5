"""One connection to NATS: kept for ever, errors in our words, set up before first use."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from dicomcore.errors import InvalidRequest, Unavailable
from dicomio.tasks import end

log = structlog.get_logger(__name__)

Setup = Callable[[JetStreamContext], Awaitable[None]]
"""Makes the stream or bucket that the adapter needs; may run again at any time."""


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """How to reach NATS, and what the streams that are made there promise."""

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    """`nats://` or `tls://` addresses of any members of the cluster."""
    name: str = "dicomtools"
    """Shown in the server's monitoring."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials_file: Path | None = None
    """JWT and NKey, as `nsc` writes them."""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 5.0
    reconnect_wait_s: float = 0.5
    replicas: int = 1
    """Of the stream and the buckets. With one, set `sync_interval: always` on the server: JetStream
    acknowledges from memory and syncs every two minutes otherwise. With three, servers may differ.
    """
    max_age_s: float = 7 * 24 * 3600.0
    """How long events are kept. The index can be rebuilt from the object store after that."""
    duplicate_window_s: float = 600.0
    """A message ID that comes again within this time is not published again."""


class NatsConnection:
    """Connects, reconnects for ever, and tells whether it is worth asking."""

    def __init__(self, options: NatsOptions, unavailable: type[Unavailable], setup: Setup) -> None:
        self._options = options
        self._unavailable = unavailable
        self._setup = setup
        self._setting_up = asyncio.Lock()
        self._is_set_up = False
        self._up = asyncio.Event()
        self._closed = False
        self._problem = ""
        self._connecting: asyncio.Task[None] | None = None
        self.client = Client()
        self.stream = self.client.jetstream(timeout=options.request_timeout_s)

    async def open(self, *, required: bool) -> None:
        """Start to connect, and wait for it at most `connect_timeout_s`.

        Parameters
        ----------
        required
            Without, a server that is away is no error: connecting goes on, and every use is
            `unavailable` until it has succeeded.
        """
        self.begin()
        try:
            await self.ready(self._options.connect_timeout_s)
        except Unavailable:
            if required:
                await self.close()
                raise
            log.warning("nats_not_reached_yet")
        except BaseException:
            await self.close()
            raise

    def begin(self) -> None:
        """Start to connect; nothing is waited for."""
        self._connecting = asyncio.create_task(self._connect())

    async def ready(self, wait_s: float) -> None:
        """Return once it is connected and set up; the adapter's error after `wait_s`."""
        if self._closed or self.client.is_closed:
            raise self._unavailable("the connection to NATS is closed")
        if not self.connected:
            try:
                async with asyncio.timeout(wait_s):
                    await self._up.wait()
            except TimeoutError as exc:
                raise self._unavailable("NATS is not connected", problem=self._problem) from exc
        if not self._is_set_up:
            async with self._setting_up:
                if not self._is_set_up:
                    with self.mapped_errors("set up"):
                        await self._setup(self.stream)
                    self._is_set_up = True

    @property
    def connected(self) -> bool:
        """Whether a request could be sent now."""
        return self.client.is_connected

    def forget_setup(self) -> None:
        """Set up again before the next use: the server does not know our stream."""
        self._is_set_up = False

    async def alive(self) -> bool:
        """Return whether the server answers now."""
        if self._closed or not self.connected:
            return False
        try:
            with self.mapped_errors("ask whether it lives"):
                await self.client.flush(max(1, round(self._options.request_timeout_s)))
                await self.ready(0)
        except Unavailable:
            return False
        return True

    @contextmanager
    def mapped_errors(self, doing: str) -> Iterator[None]:
        """Turn what the SDK raises into the adapter's error; its text may quote a subject."""
        try:
            yield
        except nats.errors.MaxPayloadError as exc:
            raise InvalidRequest("too large for NATS") from exc
        except nats.js.errors.NoStreamResponseError as exc:
            self.forget_setup()
            raise self._unavailable("NATS does not know the stream", doing=doing) from exc
        except (nats.errors.Error, OSError, TimeoutError) as exc:
            raise self._unavailable(
                "NATS does not answer", doing=doing, problem=type(exc).__name__
            ) from exc

    async def close(self) -> None:
        """Send what is buffered and disconnect; no error if it is closed or away."""
        if self._closed:
            return
        self._closed = True
        if self._connecting is not None and not self._connecting.done():
            await end(self._connecting)
        try:
            if self.connected:
                # Not `drain`: it waits for messages that were fetched and never will be answered.
                await self.client.flush(max(1, round(self._options.request_timeout_s)))
        except (nats.errors.Error, OSError, TimeoutError) as exc:
            log.warning("nats_not_flushed", problem=type(exc).__name__)
        finally:
            await self.client.close()

    async def _connect(self) -> None:
        options = self._options
        await self.client.connect(
            servers=list(options.servers),
            name=options.name,
            connect_timeout=max(1, round(options.connect_timeout_s)),
            reconnect_time_wait=options.reconnect_wait_s,  # type: ignore[arg-type]  # it only sleeps
            max_reconnect_attempts=-1,  # for ever; the default gives up after a minute
            error_cb=self._reported,
            disconnected_cb=self._went_down,
            reconnected_cb=self._came_back,
            closed_cb=self._was_closed,
            tls=_tls(options),
            user=options.user,
            password=options.password,
            token=options.token,
            user_credentials=str(options.credentials_file) if options.credentials_file else None,
        )
        self._up.set()

    async def _reported(self, error: Exception) -> None:
        self._problem = type(error).__name__
        log.debug("nats_reported", problem=self._problem)

    async def _went_down(self) -> None:
        self._up.clear()
        if not self._closed:
            log.warning("nats_disconnected")

    async def _came_back(self) -> None:
        self._up.set()
        log.info("nats_reconnected")

    async def _was_closed(self) -> None:
        if not self._closed:
            # Only the server can do that, by refusing who we are; no reconnect would help.
            log.error("nats_closed_by_server")


def _tls(options: NatsOptions) -> ssl.SSLContext | None:
    if options.ca_file is None and options.cert_file is None:
        return None  # `tls://` addresses make the client use the system's authorities
    context = ssl.create_default_context(cafile=options.ca_file)
    if options.cert_file is not None:
        context.load_cert_chain(options.cert_file, options.key_file)
    return context
