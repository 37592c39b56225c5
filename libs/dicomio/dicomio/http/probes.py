"""What every service answers: liveness, readiness, metrics, and its own documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from pydantic import BaseModel, RootModel

from dicomcore.errors import DicomToolsError
from dicomio.http.roles import Role
from dicomio.http.routes import AnyRoute, Call, Reply, Route

log = structlog.get_logger(__name__)
Check = Callable[[], Awaitable[bool]]
CHECK_TIMEOUT_S = 3.0


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether each thing the service depends on answers; why not is in the log."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, Literal["ok", "unavailable"]]


class Document(RootModel[dict[str, Any]]):
    """An OpenAPI document."""


def probes(
    checks: Mapping[str, Check], registry: CollectorRegistry, document: Callable[[], dict[str, Any]]
) -> Sequence[AnyRoute]:
    """Return the routes that are not part of the API proper."""

    async def livez(_: Call) -> Alive:
        return Alive()

    async def readyz(_: Call) -> Reply:
        outcomes = await asyncio.gather(*(_passed(name, checks[name]) for name in checks))
        ready = all(outcomes)
        body = Readiness(
            status="ok" if ready else "unavailable",
            checks={
                name: "ok" if passed else "unavailable"
                for name, passed in zip(checks, outcomes, strict=True)
            },
        )
        return Reply(body, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def metrics(_: Call) -> web.StreamResponse:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    async def openapi(_: Call) -> Document:
        return Document(document())

    return (
        Route(
            method="GET",
            template="/livez",
            handler=livez,
            operation_id="getLiveness",
            role=Role.ANYONE,
            summary="Whether the process answers",
            responses={200: Alive},
            tags=("operation",),
            quiet=True,
        ),
        Route(
            method="GET",
            template="/readyz",
            handler=readyz,
            operation_id="getReadiness",
            role=Role.ANYONE,
            summary="Whether requests can be served now",
            responses={200: Readiness, 503: Readiness},
            tags=("operation",),
            quiet=True,
        ),
        Route(
            method="GET",
            template="/metrics",
            handler=metrics,
            operation_id="getMetrics",
            role=Role.MONITOR,
            summary="Metrics as Prometheus text",
            responses={200: "text/plain"},
            tags=("operation",),
            quiet=True,
        ),
        Route(
            method="GET",
            template="/openapi.json",
            handler=openapi,
            operation_id="getOpenApi",
            role=Role.MONITOR,
            summary="This document",
            responses={200: Document},
            tags=("operation",),
        ),
    )


async def _passed(name: str, check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except DicomToolsError as exc:
        log.warning("check_failed", check=name, problem=exc.sentence)
    except TimeoutError:
        log.warning("check_timed_out", check=name, timeout_s=CHECK_TIMEOUT_S)
    return False
