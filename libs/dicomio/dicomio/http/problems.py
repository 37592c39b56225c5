"""Every error as problem+json (RFC 9457); the table from our error tree to HTTP statuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from dicomcore import errors
from dicomcore.errors import DicomToolsError, Fact

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem:dicomtools:"


class FieldProblem(BaseModel):
    """One part of a request that does not fit."""

    model_config = ConfigDict(frozen=True)
    where: str
    """`path`, `query` or `body`."""
    pointer: str
    """JSON Pointer (RFC 6901) into it."""
    problem: str
    """What is wrong; never the value that was given."""


class Problem(BaseModel):
    """Problem details (RFC 9457 section 3), with three extension members."""

    model_config = ConfigDict(frozen=True)
    type: str
    title: str
    status: int
    detail: str = ""
    request_id: str = ""
    facts: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    errors: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """How one class of errors is answered over HTTP."""

    status: HTTPStatus
    slug: str
    retry_after_s: int | None = None


_BY_ERROR: Mapping[type[DicomToolsError], Answer] = MappingProxyType(
    {
        # never: the same request fails in the same way
        errors.InvalidRequest: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request"),
        errors.InvalidUid: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-uid"),
        errors.InvalidInstance: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-instance"),
        errors.SopClassMismatch: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "sop-class-mismatch"),
        errors.Unreadable: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "unreadable"),
        errors.Conflict: Answer(HTTPStatus.CONFLICT, "conflict"),
        errors.PeerRefused: Answer(HTTPStatus.BAD_GATEWAY, "peer-refused"),
        errors.Rejected: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "rejected"),
        # an answer
        errors.NotFound: Answer(HTTPStatus.NOT_FOUND, "not-found"),
        # later
        errors.ObjectStoreFull: Answer(HTTPStatus.INSUFFICIENT_STORAGE, "object-store-full", 60),
        errors.ObjectStoreUnavailable: Answer(
            HTTPStatus.SERVICE_UNAVAILABLE, "object-store-unavailable", 5
        ),
        errors.BusUnavailable: Answer(HTTPStatus.SERVICE_UNAVAILABLE, "bus-unavailable", 5),
        errors.KeyValueUnavailable: Answer(
            HTTPStatus.SERVICE_UNAVAILABLE, "key-value-unavailable", 5
        ),
        errors.IndexUnavailable: Answer(HTTPStatus.SERVICE_UNAVAILABLE, "index-unavailable", 5),
        errors.PeerUnavailable: Answer(HTTPStatus.GATEWAY_TIMEOUT, "peer-unavailable", 10),
        errors.Unavailable: Answer(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", 5),
    }
)
_RENAMED = {413: "content-too-large", 422: "unprocessable-content"}
"""Python 3.13 has the phrases of RFC 9110, 3.11 older ones; the type must not change with it."""
_UNEXPECTED = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected")


def answer_to(kind: type[DicomToolsError]) -> Answer:
    """Return how an error is answered: its own entry, or that of the nearest class above it."""
    for cls in kind.__mro__:
        if cls in _BY_ERROR:
            return _BY_ERROR[cls]
    return _UNEXPECTED


class HttpProblem(Exception):
    """A request that this edge itself refuses: it never leaves the HTTP package.

    Parameters
    ----------
    detail
        Constant text.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str = "",
        *,
        fields: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = fields
        self.headers = headers


def problem_of(error: DicomToolsError, *, request_id: str) -> Problem:
    """Return the problem of an error of ours: its sentence and its facts.

    A fact named `pointer` is the place in the body that the error is about.
    """
    answer = answer_to(type(error))
    facts: dict[str, Fact] = dict(error.facts)
    pointer = facts.pop("pointer", None)
    fields = (
        (FieldProblem(where="body", pointer=pointer, problem=error.sentence),)
        if isinstance(pointer, str)
        else ()
    )
    return Problem(
        type=TYPE_PREFIX + answer.slug,
        title=answer.status.phrase,
        status=answer.status,
        detail=error.sentence,
        request_id=request_id,
        facts=facts,
        errors=fields,
    )


def problem_of_status(
    status: int, *, request_id: str, detail: str = "", fields: tuple[FieldProblem, ...] = ()
) -> Problem:
    """Return the problem of a bare status, as the framework or this edge raises it."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    slug = _RENAMED.get(status, title.lower().replace(" ", "-"))
    return Problem(
        type=TYPE_PREFIX + slug,
        title=title,
        status=status,
        detail=detail,
        request_id=request_id,
        errors=fields,
    )


def unexpected(request_id: str) -> Problem:
    """Return the problem of a fault of ours: nothing but the request ID to look it up by."""
    return Problem(
        type=TYPE_PREFIX + _UNEXPECTED.slug,
        title=_UNEXPECTED.status.phrase,
        status=_UNEXPECTED.status,
        request_id=request_id,
    )


def response_of(problem: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the response that carries a problem; members that hold nothing are left out."""
    return web.Response(
        status=problem.status,
        body=problem.model_dump_json(exclude_defaults=True).encode(),
        content_type=CONTENT_TYPE,
        headers=dict(headers or {}),
    )


def response_of_error(error: DicomToolsError, *, request_id: str) -> web.Response:
    """Return the response to an error of ours, with Retry-After where it may be tried again."""
    after = answer_to(type(error)).retry_after_s
    headers = {} if after is None else {"Retry-After": str(after)}
    return response_of(problem_of(error, request_id=request_id), headers)
