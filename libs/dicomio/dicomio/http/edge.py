"""The HTTP edge: request ID, admission, errors to problems, one canonical log line per request."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram
from structlog.contextvars import bound_contextvars

from dicomcore.errors import DicomToolsError, Fact
from dicomio.http.audited import Audited, AuditSink, Notes
from dicomio.http.auth import NOBODY, Access, Gate, Principal, authorize, cors_headers, preflight
from dicomio.http.binding import bind, respond
from dicomio.http.headers import SECURITY_HEADERS
from dicomio.http.problems import (
    HttpProblem,
    problem_of_status,
    response_of,
    response_of_error,
    unexpected,
)
from dicomio.http.roles import Role
from dicomio.http.routes import AnyRoute, Call, Reply
from dicomio.tracing import NO_TRACER, Kind, Tracer

log = structlog.get_logger(__name__)
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID = web.RequestKey("request_id", str)
ROUTE = web.RequestKey("route", object)
PRINCIPAL = web.RequestKey("principal", Principal)
NOTES = web.RequestKey("notes", Notes)
_PREPARED = web.RequestKey("prepared", web.StreamResponse)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_HTTPS_ONLY = "max-age=31536000"
_UNAUDITED = frozenset({Role.ANYONE, Role.MONITOR})
"""Probes and scrapes: every few seconds, and about nobody."""
_SUSPECT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Edge:
    """What surrounds every handler of one application."""

    def __init__(
        self,
        *,
        access: Access,
        registry: CollectorRegistry,
        routes: dict[tuple[str, str], AnyRoute],
        audit: AuditSink | None = None,
        tracer: Tracer = NO_TRACER,
        public: frozenset[str] = frozenset(),
    ) -> None:
        """`routes` are by method and template; `public` are templates that need nobody's name."""
        self._access = access
        self._gate = Gate(access)
        self._routes = routes
        self._audit = audit
        self._tracer = tracer
        self._public = public
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time from the request's head to the end of its answer",
            ("method", "route", "status"),
            registry=registry,
        )

    @web.middleware
    async def middleware(self, request: web.Request, handler: Next) -> web.StreamResponse:
        """Answer every request, whatever happens, and write its canonical line."""
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request[REQUEST_ID] = request_id
        started = time.perf_counter()
        with bound_contextvars(request_id=request_id):
            status = 499  # the caller left, or the server stopped, before there was an answer
            try:
                response = await self._traced(request, handler, request_id)
                status = response.status
                return response
            finally:
                self._account(request, status, time.perf_counter() - started)
                self._tell(request, status)

    async def prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Complete the headers of an answer; a signal, so that streams have them too."""
        request[_PREPARED] = response
        response.headers["X-Request-ID"] = request.get(REQUEST_ID, "")
        response.headers.update(cors_headers(request, self._access))
        if request.secure:
            response.headers.setdefault("Strict-Transport-Security", _HTTPS_ONLY)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)

    async def close(self, _app: web.Application) -> None:
        """Release what is held for admission."""
        await self._gate.close()

    async def _traced(
        self, request: web.Request, handler: Next, request_id: str
    ) -> web.StreamResponse:
        route = self._route(request)
        if route is None or route.quiet:
            return await self._answered(request, handler, request_id)
        # the template only: the path and the query may hold a patient ID
        facts: dict[str, Fact] = {"http.request.method": route.method, "http.route": route.template}
        given = request.headers.get("traceparent", "")
        name = f"{route.method} {route.template}"
        with self._tracer.span(name, kind=Kind.SERVER, parent=given, facts=facts) as span:
            response = await self._answered(request, handler, request_id)
            span.note({"http.response.status_code": response.status})
            return response

    async def _answered(
        self, request: web.Request, handler: Next, request_id: str
    ) -> web.StreamResponse:
        try:
            allowed = preflight(request, self._access)
            if allowed is not None:
                return allowed
            route = self._route(request)
            needed = self._needed(request, route)
            # unknown paths too: who may not call learns nothing, not even which paths there are
            optional = route is not None and route.recognises
            request[PRINCIPAL] = await self._gate.identify(request, needed, optional=optional)
            authorize(request[PRINCIPAL], needed)
            return await handler(request)
        except HttpProblem as exc:
            problem = problem_of_status(
                exc.status, request_id=request_id, detail=exc.detail, fields=exc.fields
            )
            return response_of(problem, exc.headers)
        except DicomToolsError as exc:
            log.info(
                "request_refused", error=type(exc).__name__, problem=exc.sentence, **_safe(exc)
            )
            return response_of_error(exc, request_id=request_id)
        except web.HTTPException as exc:
            return _framework(exc, request_id)
        except Exception:
            log.exception("request_failed", route=_template(request))
            return self._unexpected(request, request_id)

    def _unexpected(self, request: web.Request, request_id: str) -> web.StreamResponse:
        begun: web.StreamResponse | None = request.get(_PREPARED)
        if begun is None:
            return response_of(unexpected(request_id))
        # the head is out: cut the connection, so that the caller does not take a part for the whole
        if request.transport is not None:
            request.transport.abort()
        return begun

    def _account(self, request: web.Request, status: int, seconds: float) -> None:
        template = _template(request)
        route = self._route(request)
        method = request.method if request.method in _METHODS else "other"
        self._duration.labels(method, template, str(status)).observe(seconds)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            write = log.error
        elif status > HTTPStatus.INTERNAL_SERVER_ERROR:
            write = log.warning
        else:
            quiet = route.quiet if route is not None else template in self._public
            write = log.debug if quiet else log.info
        write(
            "request_answered",
            method=method,
            route=template,
            status=status,
            duration_ms=round(seconds * 1000, 1),
        )

    def _tell(self, request: web.Request, status: int) -> None:
        route = self._route(request)
        role = None if route is None else route.role
        if self._audit is None or (role in _UNAUDITED and status not in _SUSPECT):
            return
        principal = request.get(PRINCIPAL, NOBODY)
        if route is None and status not in _SUSPECT:
            return
        self._audit(
            Audited(
                caller=principal.name,
                issuer=principal.issuer,
                roles=principal.roles,
                operation_id="" if route is None else route.operation_id,
                needed=role,
                method=request.method if request.method in _METHODS else "other",
                status=status,
                remote=request.remote or "",
                request_id=request[REQUEST_ID],
                notes=request.get(NOTES, Notes()),
            )
        )

    def _needed(self, request: web.Request, route: AnyRoute | None) -> Role | None:
        """Return the role that is needed; None: to be somebody that we know."""
        if route is not None:
            return route.role
        return Role.ANYONE if _template(request) in self._public else None

    def _route(self, request: web.Request) -> AnyRoute | None:
        method = "GET" if request.method == "HEAD" else request.method
        return self._routes.get((method, _template(request)))


def principal_of(call: Call[Any, Any, Any]) -> Principal:
    """Return who calls; `NOBODY` on a route that answers anyone."""
    return call.http[PRINCIPAL]


def handler_of(route: AnyRoute) -> Next:
    """Return the framework's handler of a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        tenant = request[PRINCIPAL].tenant
        call = await bind(route, request, request_id=request[REQUEST_ID], tenant=tenant)
        request[NOTES] = call.notes
        result = await route.handler(call)
        call.notes.take_shown(result.body if isinstance(result, Reply) else result)
        return respond(route, request, result)

    return handle


def _template(request: web.Request) -> str:
    """Return the route's template; the path itself may hold a patient ID."""
    resource = request.match_info.route.resource
    return _UNMATCHED if resource is None else resource.canonical


def _framework(error: web.HTTPException, request_id: str) -> web.StreamResponse:
    if error.status < HTTPStatus.BAD_REQUEST:
        return error
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return response_of(problem_of_status(error.status, request_id=request_id), kept)


def _safe(error: DicomToolsError) -> dict[str, object]:
    """Return the facts under names that do not collide with those of the log line."""
    return {f"fact_{name}": value for name, value in error.facts.items()}
