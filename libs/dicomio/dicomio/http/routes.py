"""A route as a value: what it takes, what it answers, and the coroutine in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar

from dicomio.http.audited import Notes
from dicomio.http.roles import Role
from dicomio.http.tenants import DEFAULT_TENANT

EVENT_STREAM = "text/event-stream"


class Input(BaseModel):
    """What comes from a caller: unknown members are refused, values stay out of error texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Nothing(Input):
    """No parameters, or no body."""


P = TypeVar("P", bound=BaseModel, default=Nothing)
Q = TypeVar("Q", bound=BaseModel, default=Nothing)
B = TypeVar("B", bound=BaseModel, default=Nothing)


@dataclass(frozen=True, slots=True)
class Call(Generic[P, Q, B]):
    """One request, understood: path, query and body are values of the route's models."""

    path: P
    query: Q
    body: B
    http: web.Request = field(repr=False)
    """For what models do not say: headers, streams."""
    request_id: str = ""
    tenant: str = DEFAULT_TENANT
    """The caller's."""
    notes: Notes = field(default_factory=Notes, repr=False)
    """What the audit trail is told it is about: fields such as `patient_id` by themselves."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with more than a body."""

    body: BaseModel | None = field(default=None, repr=False)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    """Opaque version of the body; If-None-Match with it is answered 304 without a body."""


Body = type[BaseModel] | str | None
"""A model as JSON, a media type of anything else, or no body."""
Handler = Callable[[Call[P, Q, B]], Awaitable[BaseModel | Reply | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[P, Q, B]):
    """One operation of an API.

    `path` and `query` name every parameter: a template parameter without a field, or a field
    without a template parameter, is refused when the application is made.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    template: str
    """As in `/v1/peers/{name}`; this, never the path of a request, is logged and measured."""
    handler: Handler[P, Q, B]
    operation_id: str
    summary: str
    role: Role
    """What a caller must be given; `Role.ANYONE` answers without authentication."""
    responses: Mapping[int, Body | tuple[Body, ...]]
    """By status; a tuple where the media type is negotiated by a parameter."""
    tags: tuple[str, ...] = ()
    path: type[P] = Nothing  # type: ignore[assignment]  # the default of P
    query: type[Q] = Nothing  # type: ignore[assignment]  # the default of Q
    body: type[B] = Nothing  # type: ignore[assignment]  # the default of B
    request_headers: Mapping[str, str] = field(default_factory=dict)
    """Optional request headers the handler reads, and what they mean."""
    errors: tuple[int, ...] = ()
    """Statuses of problems worth a line in the documentation; all others are `default`."""
    quiet: bool = False
    """Whether its canonical log line is `debug`: probes."""
    body_bytes: int = 0
    """The largest body, where that of the application (`Access.max_body_bytes`) is too little."""
    recognises: bool = False
    """Of a route that answers anyone: a caller who presents a token is identified all the same."""

    @property
    def takes_body(self) -> bool:
        """Whether a JSON body is read."""
        return self.body is not Nothing

    def bodies(self, status: int) -> tuple[Body, ...]:
        """Return what may be answered with a status; empty if the status is not declared."""
        if status not in self.responses:
            return ()
        declared = self.responses[status]
        return declared if isinstance(declared, tuple) else (declared,)

    @property
    def streams(self) -> bool:
        """Whether it answers with an event stream."""
        return any(EVENT_STREAM in self.bodies(status) for status in self.responses)


AnyRoute = Route[Any, Any, Any]
