"""What an application serves beside its operations: a page's files, paths of another service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

ANY_METHOD = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Paths that are answered as they come: not described in OpenAPI, not bound to models."""

    template: str
    """As of a route; this, never the path of a request, is logged and measured."""
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    method: str = "GET"
    """GET answers HEAD as well; `ANY_METHOD`: every one."""
    public: bool = False
    """Whether nobody has to say who they are; otherwise any caller that is known may, and whoever
    answers decides what."""
