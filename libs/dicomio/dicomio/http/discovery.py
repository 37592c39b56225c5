"""Where an identity provider lets people sign in: looked up for the page, kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from dicomio.http.fetching import NOT_FETCHED, Fetcher
from dicomio.http.oidc import OidcOptions

log = structlog.get_logger(__name__)
ASKED_AT_MOST_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of a provider (OpenID Connect Discovery 1.0, 3)."""

    authorization: str
    token: str
    end_session: str = ""
    """Empty if the provider names none."""


class Discovery:
    """The endpoints of one provider, on one event loop; many callers fetch once."""

    def __init__(
        self, options: OidcOptions, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache_s = options.cache_s
        self._issuer = options.issuer
        self._fetcher = Fetcher(options.issuer, options.ca_file)
        self._clock = clock
        self._known: Endpoints | None = None
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def endpoints(self) -> Endpoints | None:
        """Return the endpoints; older ones while the provider does not answer, None if there are none."""
        async with self._asking:
            now = self._clock()
            fresh = self._fetched_at is not None and now - self._fetched_at < self._cache_s
            asked = self._asked_at is not None and now - self._asked_at < ASKED_AT_MOST_EVERY_S
            if not (fresh or asked):
                self._asked_at = now
                await self._refresh(now)
            return self._known

    async def origins(self) -> tuple[str, ...]:
        """Return the origins that a page has to reach to sign in: the issuer's, and the token endpoint's."""
        known = await self.endpoints()
        urls = [self._issuer] if known is None else [self._issuer, known.token]
        return tuple(dict.fromkeys(_origin(url) for url in urls))

    async def close(self) -> None:
        """Release connections."""
        await self._fetcher.close()

    async def _refresh(self, now: float) -> None:
        try:
            found = await self._fetcher.discovered()
            trusted = self._fetcher.trusted
            ending = found.get("end_session_endpoint")
            self._known = Endpoints(
                authorization=trusted(found.get("authorization_endpoint")),
                token=trusted(found.get("token_endpoint")),
                end_session="" if ending is None else trusted(ending),
            )
            self._fetched_at = now
        except NOT_FETCHED as exc:
            log.warning("identity_provider_not_understood", error=type(exc).__name__)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
