"""An application from routes: typed, documented, measured, and closed to whom it does not know."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from dicomio.http.audited import AuditSink
from dicomio.http.auth import LOOPBACK_ONLY, Access
from dicomio.http.edge import Edge, handler_of
from dicomio.http.mounts import Mount
from dicomio.http.openapi import PARAMETER, document
from dicomio.http.probes import Check, probes
from dicomio.http.routes import AnyRoute
from dicomio.http.sse import STOPPING
from dicomio.tracing import NO_TRACER, Tracer

AUTHENTICATED = web.AppKey("authenticated", bool)


def make_app(  # noqa: PLR0913  # five of them are by keyword and may be left out
    title: str,
    version: str,
    routes: Sequence[AnyRoute],
    *,
    metrics_registry: CollectorRegistry,
    checks: Mapping[str, Check] = MappingProxyType({}),
    access: Access = LOOPBACK_ONLY,
    audit: AuditSink | None = None,
    tracer: Tracer = NO_TRACER,
    mounts: Sequence[Mount] = (),
) -> web.Application:
    """Return an application that serves `routes`, `/openapi.json`, `/livez`, `/readyz`, `/metrics`.

    Parameters
    ----------
    metrics_registry
        Where the metrics are; what is in it is what `/metrics` shows. One for each application.
    checks
        What `/readyz` asks, by name; each has three seconds.
    access
        Who may call, how often, and how much they may send.
    audit
        Told of every request that is about somebody, and of every one that was not admitted.
    mounts
        What is served beside the operations.

    Raises
    ------
    ValueError
        Two routes share an operation ID or a method and template, or a template's parameters are
        not the fields of the route's path model.
    """
    described: dict[str, Any] = {}
    every = (*routes, *probes(checks, metrics_registry, lambda: described))
    _check(every)
    described.update(document(title, version, every, authenticated=access.authenticated))
    edge = Edge(
        access=access,
        audit=audit,
        tracer=tracer,
        registry=metrics_registry,
        routes={(route.method, route.template): route for route in every},
        public=frozenset(mount.template for mount in mounts if mount.public),
    )
    app = web.Application(middlewares=[edge.middleware], client_max_size=access.max_body_bytes)
    app[AUTHENTICATED] = access.authenticated
    app[STOPPING] = asyncio.Event()
    app.on_response_prepare.append(edge.prepare)
    app.on_shutdown.append(_end_streams)
    app.on_cleanup.append(edge.close)
    for route in every:
        if route.method == "GET" and not route.streams:
            app.router.add_get(route.template, handler_of(route))
        else:
            app.router.add_route(route.method, route.template, handler_of(route))
    for mount in mounts:
        if mount.method == "GET":
            app.router.add_get(mount.template, mount.handler)
        else:
            app.router.add_route(mount.method, mount.template, mount.handler)
    return app


async def _end_streams(app: web.Application) -> None:
    app[STOPPING].set()


def _check(routes: Sequence[AnyRoute]) -> None:
    operations = [route.operation_id for route in routes]
    places = [(route.method, PARAMETER.sub("{}", route.template)) for route in routes]
    for each in (Counter(operations), Counter(places)):
        twice = sorted(str(one) for one, count in each.items() if count > 1)
        if twice:
            raise ValueError(f"more than one route: {', '.join(twice)}")
    for route in routes:
        if set(PARAMETER.findall(route.template)) != set(route.path.model_fields):
            raise ValueError(f"{route.operation_id}: template and path model differ")
