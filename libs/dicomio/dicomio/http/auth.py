"""Who may call: a static bearer token, and the refusal of other sites where there is none."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from dicomcore.errors import InvalidRequest
from dicomio.http.problems import HttpProblem

_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token that is known only by its SHA-256, so that settings hold nothing to steal."""

    sha256: str = field(repr=False)
    """64 hexadecimal digits, lower case, of the token in UTF-8."""

    def __post_init__(self) -> None:
        if _SHA256_HEX.fullmatch(self.sha256) is None:
            raise InvalidRequest("not the SHA-256 of a token: 64 lower-case hexadecimal digits")

    def accepts(self, authorization: str) -> bool:
        """Return whether an Authorization header (RFC 6750 2.1) carries the token."""
        scheme, _, token = authorization.partition(" ")
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
        # both in any case: the time taken tells neither which was wrong nor how nearly
        same = hmac.compare_digest(digest, self.sha256)
        return same and scheme.lower() == "bearer"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an application, and how much they may send."""

    token: BearerToken | None = None
    """What every route but the public ones asks for. None: only callers on this machine are
    answered, and `serve` binds to loopback only."""
    max_body_bytes: int = 1 << 20
    """Larger bodies are answered 413."""


LOOPBACK_ONLY = Access()


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can be reached from this machine only."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def admit(request: web.Request, token: BearerToken | None, *, public: bool) -> None:
    """Return if the request may be answered.

    Raises
    ------
    HttpProblem
        401: no token, or a wrong one. 421: no authentication is configured and the request is
        for another name than loopback (a page that rebinds its DNS name to this machine).
        403: a page of another origin wants to change something.
    """
    _same_site(request)
    if token is None:
        if not is_loopback(_host_name(request.host)):
            raise HttpProblem(
                HTTPStatus.MISDIRECTED_REQUEST, "without authentication only loopback is served"
            )
        return
    if public or token.accepts(request.headers.get("Authorization", "")):
        return
    raise HttpProblem(
        HTTPStatus.UNAUTHORIZED,
        "a bearer token is needed",
        headers={"WWW-Authenticate": 'Bearer realm="dicomtools"'},
    )


def _same_site(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is None or request.method in _SAFE_METHODS:
        return
    if urlsplit(origin).netloc.lower() != request.host.lower():
        raise HttpProblem(HTTPStatus.FORBIDDEN, "not from a page of another origin")


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
