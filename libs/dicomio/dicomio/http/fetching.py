"""JSON documents of an identity provider: small, by https, without redirects, within seconds."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from dicomcore.errors import InvalidRequest

DISCOVERY = "/.well-known/openid-configuration"
FETCH_TIMEOUT_S = 5.0
LARGEST_BYTES = 1 << 20
NOT_FETCHED = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError)
"""What `Fetcher` raises: the provider is away, or says what nobody understands."""
_AUTHORITY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?", re.ASCII)


class Fetcher:
    """Fetches documents of one provider, on one event loop."""

    def __init__(self, issuer: str, ca_file: Path | None) -> None:
        self._issuer = issuer
        self._tls = _context(ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def discovered(self) -> Mapping[str, Any]:
        """Return the provider's discovery document (OpenID Connect Discovery 1.0, 4).

        Raises
        ------
        ValueError
            It is another issuer's, or no document; `NOT_FETCHED` has what else there is.
        """
        found = await self.fetch(self._issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != self._issuer:
            raise ValueError("not the discovery document of this issuer")
        return found

    def trusted(self, url: object) -> str:
        """Return an address that a document names; ValueError if it is less safe than the issuer's."""
        if not isinstance(url, str):
            raise ValueError("not an address")  # noqa: TRY004  # the caller asks whether it is understood
        parts = urlsplit(url)
        # also what keeps anything but a host and a port out of headers that name it
        if _AUTHORITY.fullmatch(parts.netloc) is None or parts.scheme not in ("http", "https"):
            raise ValueError("not an address")
        if parts.scheme != "https" and urlsplit(self._issuer).scheme == "https":
            raise ValueError("only by https, as the issuer")
        return url

    async def fetch(self, url: str) -> Mapping[str, Any]:
        """Return the JSON object at an address."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S), trust_env=True
            )
        async with self._session.get(url, allow_redirects=False, ssl=self._tls) as response:
            if response.status != 200:
                raise ValueError("not answered with 200")
            text = await response.content.read(LARGEST_BYTES + 1)
            while len(text) <= LARGEST_BYTES and not response.content.at_eof():
                text += await response.content.read(LARGEST_BYTES + 1 - len(text))
        if len(text) > LARGEST_BYTES:
            raise ValueError("longer than any such document")
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("not an object")  # noqa: TRY004  # the caller asks whether it is understood
        return document

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as exc:
        raise InvalidRequest("certificates of the identity provider cannot be loaded") from exc
