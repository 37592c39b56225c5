"""Tokens of an OpenID Connect provider: JSON Web Tokens, verified with the provider's keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import jwt
import structlog

from dicomcore.errors import InvalidRequest
from dicomio.http.jwks import KeySet
from dicomio.http.loopback import is_loopback
from dicomio.http.roles import GIVEN, Role
from dicomio.http.tenants import DEFAULT_TENANT, parse_tenant

log = structlog.get_logger(__name__)

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Asymmetric ones only: with an HMAC a public key would become a secret that everybody knows."""
_LONGEST_SUBJECT = 128


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """Whose tokens are accepted, and what in them gives which role."""

    issuer: str
    """Exactly as in the tokens' `iss`; `https`, or `http` on loopback."""
    audience: str
    """One of the tokens' `aud`."""
    jwks_url: str = ""
    """Where the keys are; empty: as the provider's discovery document says."""
    algorithms: tuple[str, ...] = ALGORITHMS
    roles_claim: str = "roles"
    """Claim with the roles, a list or words with spaces between; dots lead into objects, as in
    `realm_access.roles`."""
    role_names: Mapping[str, Role] = field(
        default_factory=lambda: MappingProxyType({role.value: role for role in GIVEN})
    )
    """What is said in the claim, and the role that it gives; anything else there gives none."""
    tenant_claim: str = ""
    """Claim with the caller's tenant, a text; empty: nobody has one. A token without it is of the
    default tenant."""
    leeway_s: float = 30.0
    """How far clocks may differ."""
    cache_s: float = 600.0
    """Keys older than this are fetched again."""
    ca_file: Path | None = None
    """Authorities of the provider's certificate, PEM; None: those of the operating system."""
    client_id: str = ""
    """Of the web page at the provider, a public client; empty: nobody signs in by the page."""
    scopes: tuple[str, ...] = ("openid",)
    """What the page asks the provider for."""

    def __post_init__(self) -> None:
        for url in (self.issuer, self.jwks_url or self.issuer):
            parts = urlsplit(url)
            local = parts.scheme == "http" and is_loopback(parts.hostname or "")
            if not parts.hostname or not (parts.scheme == "https" or local):
                raise InvalidRequest("an identity provider is reached by https")
        if not self.audience:
            raise InvalidRequest("tokens of an identity provider need an audience")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise InvalidRequest(f"algorithms of tokens are among {', '.join(ALGORITHMS)}")
        if not set(self.role_names.values()) <= GIVEN:
            raise InvalidRequest(f"roles are among {', '.join(sorted(GIVEN))}")


@dataclass(frozen=True, slots=True)
class Identified:
    """Whom a token speaks of."""

    subject: str
    roles: frozenset[Role]
    tenant: str = DEFAULT_TENANT


class Verifier:
    """Verifies tokens; used on one event loop."""

    def __init__(
        self, options: OidcOptions, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._keys = KeySet(
            issuer=options.issuer,
            url=options.jwks_url,
            cache_s=options.cache_s,
            ca_file=options.ca_file,
            clock=clock,
        )

    async def verify(self, token: str) -> Identified | None:
        """Return whom a token speaks of; None if it is not to be believed.

        Raises
        ------
        Unavailable
            The provider does not answer, and nobody knows its keys yet.

        Notes
        -----
        RFC 7519, RFC 8725. The algorithm must be allowed *and* be one of the key that is named.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm, key_id = header.get("alg"), header.get("kid")
            if algorithm not in self._options.algorithms or "crit" in header:
                return _refused("algorithm")
            key = await self._keys.find(key_id if isinstance(key_id, str) else None, algorithm)
            if key is None:
                return _refused("key")
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._options.issuer,
                audience=self._options.audience,
                leeway=self._options.leeway_s,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as exc:
            return _refused(type(exc).__name__)
        except (ValueError, TypeError, RecursionError):  # what decoders raise on made-up tokens
            return _refused("malformed")
        return self._identified(claims)

    async def close(self) -> None:
        """Release connections."""
        await self._keys.close()

    def _identified(self, claims: Mapping[str, Any]) -> Identified | None:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            return _refused("subject")
        if not subject.isprintable():
            return _refused("subject")
        said = _at(claims, self._options.roles_claim)
        words = said.split() if isinstance(said, str) else said
        names = words if isinstance(words, list) else []
        known = self._options.role_names
        roles = frozenset(known[name] for name in names if isinstance(name, str) and name in known)
        try:
            tenant = _tenant(claims, self._options.tenant_claim)
        except InvalidRequest:
            return _refused("tenant")
        return Identified(subject, roles, tenant)


def _tenant(claims: Mapping[str, Any], path: str) -> str:
    said = _at(claims, path) if path else None
    if said is None:
        return DEFAULT_TENANT
    return parse_tenant(said if isinstance(said, str) else "")


def _refused(reason: str) -> Identified | None:
    # not the token, nor anything in it
    log.info("token_refused", reason=reason)
    return None


def _at(claims: Mapping[str, Any], path: str) -> object:
    if path in claims:  # a claim whose own name has dots, as those that are URLs have
        return claims[path]
    found: object = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
