"""Who calls, and whether they may: tokens, roles, rates, and the refusal of other sites."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from dicomcore.errors import InvalidRequest
from dicomio.http.buckets import Buckets, Rate
from dicomio.http.loopback import is_loopback
from dicomio.http.oidc import OidcOptions, Verifier
from dicomio.http.problems import HttpProblem
from dicomio.http.roles import Role, granted
from dicomio.http.tenants import DEFAULT_TENANT
from dicomio.http.tokens import BearerToken

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REALM = 'Bearer realm="dicomtools"'


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an application, how often, and how much they may send."""

    tokens: tuple[BearerToken, ...] = ()
    oidc: OidcOptions | None = None
    """With neither tokens nor this, only callers on this machine are answered, and `serve` binds
    to loopback only."""
    max_body_bytes: int = 1 << 20
    """Larger bodies are answered 413."""
    rate: Rate | None = None
    """Of one caller; None: no limit."""
    failures: Rate = Rate(per_s=5.0, burst=100)  # noqa: RUF009  # frozen
    """How often an address may present tokens that are wrong; right ones are admitted all the same."""
    cors_origins: frozenset[str] = frozenset()
    """Origins (`https://name[:port]`) whose pages may call; none: only our own."""

    def __post_init__(self) -> None:
        for origin in self.cors_origins:
            parts = urlsplit(origin)
            whole = f"{parts.scheme}://{parts.netloc}".lower()
            if parts.scheme not in ("http", "https") or not parts.netloc or origin != whole:
                raise InvalidRequest("an origin is https://name or https://name:port, no '*'")

    @property
    def authenticated(self) -> bool:
        """Whether callers have to say who they are."""
        return bool(self.tokens) or self.oidc is not None


LOOPBACK_ONLY = Access()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    name: str
    """Of the token, or the subject that the identity provider names."""
    roles: frozenset[Role]
    issuer: str = ""
    """The identity provider; empty for a token of ours."""
    tenant: str = DEFAULT_TENANT


NOBODY = Principal("", frozenset())
LOCAL = Principal("local", frozenset({Role.ADMIN}))
"""Whoever is on this machine, where no authentication is configured."""


class Gate:
    """Admits requests, or says why not; one for each application, on its event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._verifier = None if access.oidc is None else Verifier(access.oidc)
        self._callers = None if access.rate is None else Buckets(access.rate)
        self._failures = Buckets(access.failures)

    async def identify(
        self, request: web.Request, needed: Role | None, *, optional: bool = False
    ) -> Principal:
        """Return who calls.

        Parameters
        ----------
        needed
            The role that the route needs; None: there is no such route.
        optional
            Whether a route that answers anyone looks at a token that is presented.

        Raises
        ------
        HttpProblem
            401: no token, or a wrong one; 429: wrong ones too often, or right ones. 421: no
            authentication is configured and the request is for another name than loopback (a page
            that rebinds its DNS name to this machine). 403: a page of another origin wants to
            change something.
        Unavailable
            The identity provider has to be asked for its keys, and does not answer.
        """
        _same_site(request, self._access.cors_origins)
        if not self._access.authenticated:
            if not is_loopback(_host_name(request.host)):
                raise HttpProblem(
                    HTTPStatus.MISDIRECTED_REQUEST, "without authentication only loopback is served"
                )
            return LOCAL
        given = request.headers.get("Authorization", "")
        if needed is Role.ANYONE and not (optional and given):
            return NOBODY
        principal = await self._holder(given)
        if principal is None:
            raise self._unknown(request, presented=bool(given))
        self._limit(self._callers, f"{principal.issuer}\n{principal.name}")
        return principal

    async def close(self) -> None:
        """Release connections."""
        if self._verifier is not None:
            await self._verifier.close()

    async def _holder(self, authorization: str) -> Principal | None:
        """Return who presents an Authorization header (RFC 6750 2.1); None if nobody we know."""
        scheme, _, given = authorization.partition(" ")
        token = given.strip()
        # every one is compared, with the wrong scheme too: the time taken tells nothing
        known = [each for each in self._access.tokens if each.accepts(token)]
        if scheme.lower() != "bearer":
            return None
        if known:
            return Principal(known[0].name, known[0].roles, tenant=known[0].tenant)
        if self._verifier is None or self._access.oidc is None or token.count(".") != 2:
            return None
        identified = await self._verifier.verify(token)
        if identified is None:
            return None
        return Principal(
            identified.subject, identified.roles, self._access.oidc.issuer, identified.tenant
        )

    def _unknown(self, request: web.Request, *, presented: bool) -> HttpProblem:
        if presented:
            self._limit(self._failures, request.remote or "")
        said = f'{_REALM}, error="invalid_token"' if presented else _REALM
        return HttpProblem(
            HTTPStatus.UNAUTHORIZED, "a bearer token is needed", headers={"WWW-Authenticate": said}
        )

    @staticmethod
    def _limit(buckets: Buckets | None, name: str) -> None:
        wait_s = 0.0 if buckets is None else buckets.take(name)
        if wait_s > 0:
            raise HttpProblem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many requests in a short time",
                headers={"Retry-After": str(max(1, math.ceil(wait_s)))},
            )


def authorize(principal: Principal, needed: Role | None) -> None:
    """Return if someone may do what needs a role; where there is no route, nothing is needed.

    Raises
    ------
    HttpProblem
        403 (RFC 6750 3.1).
    """
    if needed is None or granted(principal.roles, needed):
        return
    raise HttpProblem(
        HTTPStatus.FORBIDDEN,
        "the token does not give the role that is needed",
        headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{needed}"'},
    )


def preflight(request: web.Request, access: Access) -> web.Response | None:
    """Return the answer to a page's question whether it may call; None if it is no such question.

    Notes
    -----
    Fetch, CORS-preflight request: it carries no credentials, so it is answered before those are
    asked for, to origins of the allow-list only.
    """
    wanted = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or wanted is None:
        return None
    if request.headers.get("Origin", "") not in access.cors_origins:
        return None
    return web.Response(
        status=HTTPStatus.NO_CONTENT,
        headers={
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": (
                "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, "
                "X-Request-ID"
            ),
            "Access-Control-Max-Age": "600",
        },
    )


def cors_headers(request: web.Request, access: Access) -> dict[str, str]:
    """Return what lets a page of an allowed origin read an answer."""
    if not access.cors_origins:
        return {}
    origin = request.headers.get("Origin", "")
    if origin not in access.cors_origins:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "ETag, Location, Retry-After, X-Request-ID",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }


def _same_site(request: web.Request, allowed: frozenset[str]) -> None:
    origin = request.headers.get("Origin")
    if origin is None or request.method in _SAFE_METHODS or origin in allowed:
        return
    if urlsplit(origin).netloc.lower() != request.host.lower():
        raise HttpProblem(HTTPStatus.FORBIDDEN, "not from a page of another origin")


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
