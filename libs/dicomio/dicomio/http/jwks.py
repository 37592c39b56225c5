"""The keys of an identity provider: fetched, kept for a while, fetched again when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
import structlog

from dicomcore.errors import Unavailable
from dicomio.http.fetching import NOT_FETCHED, Fetcher

log = structlog.get_logger(__name__)

ASKED_AT_MOST_EVERY_S = 10.0
"""Tokens with a key ID that nobody knows must not make us ask the provider at every request."""
STALE_S = 24 * 3600.0
"""So long keys are believed while the provider does not answer."""
_MOST_KEYS = 100
_SMALLEST_RSA_BITS = 2048

_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        **{f"{family}{bits}": ("RSA", ()) for family in ("RS", "PS") for bits in (256, 384, 512)},
        "ES256": ("EC", ("P-256",)),
        "ES384": ("EC", ("P-384",)),
        "ES512": ("EC", ("P-521",)),
        "EdDSA": ("OKP", ("Ed25519", "Ed448")),
    }
)
"""Key type and curves of an algorithm (RFC 7518 3.1, RFC 8037 3.1)."""


@dataclass(frozen=True, slots=True)
class _Key:
    key_id: str | None
    jwk: Mapping[str, Any]

    def is_for(self, algorithm: str) -> bool:
        kind, curves = _KINDS[algorithm]
        jwk = self.jwk
        return (
            jwk.get("kty") == kind
            and (not curves or jwk.get("crv") in curves)
            and jwk.get("alg") in (None, algorithm)
        )


class KeySet:
    """The JSON Web Key Set (RFC 7517) of one issuer, on one event loop."""

    def __init__(
        self,
        *,
        issuer: str,
        url: str,
        cache_s: float,
        ca_file: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self._url = url
        self._cache_s = cache_s
        self._fetcher = Fetcher(issuer, ca_file)
        self._clock = clock
        self._keys: tuple[_Key, ...] = ()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of a token; None if there is none, or nobody can say which.

        Raises
        ------
        Unavailable
            There are no keys at all, and the provider does not answer.
        """
        if self._older_than(self._cache_s):
            await self._refresh()
        found = self._matching(key_id, algorithm)
        if found is None and key_id is not None:  # the provider may have a new key
            await self._refresh()
            found = self._matching(key_id, algorithm)
        if self._older_than(max(STALE_S, self._cache_s)):
            raise Unavailable("the identity provider does not answer")
        return found

    async def close(self) -> None:
        """Release connections."""
        await self._fetcher.close()

    def _older_than(self, age_s: float) -> bool:
        return self._fetched_at is None or self._clock() - self._fetched_at > age_s

    def _matching(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [
            key
            for key in self._keys
            if key.is_for(algorithm) and (key_id is None or key.key_id == key_id)
        ]
        if len(fitting) != 1:  # without an ID only if there is no choice
            return None
        return jwt.PyJWK.from_dict(dict(fitting[0].jwk), algorithm=algorithm)

    async def _refresh(self) -> None:
        """Fetch the keys, unless that was done or tried a moment ago; many callers fetch once."""
        async with self._asking:
            now = self._clock()
            if self._asked_at is not None and now - self._asked_at < ASKED_AT_MOST_EVERY_S:
                return
            self._asked_at = now
            try:
                self._keys = _keys_of(await self._fetcher.fetch(await self._key_url()))
                self._fetched_at = now
                log.info("identity_provider_keys_fetched", keys=len(self._keys))
            except NOT_FETCHED as exc:
                log.warning("identity_provider_not_understood", error=type(exc).__name__)

    async def _key_url(self) -> str:
        if self._url:
            return self._url
        return self._fetcher.trusted((await self._fetcher.discovered()).get("jwks_uri"))


def _keys_of(document: Mapping[str, Any]) -> tuple[_Key, ...]:
    given = document.get("keys")
    if not isinstance(given, list):
        raise ValueError("no keys")  # noqa: TRY004  # the caller asks whether it is understood
    return tuple(_usable(given[:_MOST_KEYS]))


def _usable(given: Iterable[object]) -> Iterable[_Key]:
    """Yield the keys that signatures can be verified with; others are no reason to refuse all."""
    for jwk in given:
        if not isinstance(jwk, dict) or jwk.get("use") not in (None, "sig"):
            continue
        key_id = jwk.get("kid")
        if key_id is not None and not isinstance(key_id, str):
            continue
        for algorithm in _KINDS:
            key = _Key(key_id, jwk)
            if not key.is_for(algorithm):
                continue
            try:
                loaded = jwt.PyJWK.from_dict(jwk, algorithm=algorithm).key
            except (jwt.PyJWTError, ValueError, TypeError):
                break
            if getattr(loaded, "key_size", _SMALLEST_RSA_BITS) >= _SMALLEST_RSA_BITS or (
                jwk.get("kty") != "RSA"
            ):
                yield key
            break
