"""Binding: an HTTP request to a route's models, and what a handler returns to a response."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal, TypeVar

from aiohttp import web
from multidict import MultiMapping
from pydantic import BaseModel, ValidationError

from dicomio.http.problems import FieldProblem, HttpProblem
from dicomio.http.routes import AnyRoute, Call, Nothing, Reply

M = TypeVar("M", bound=BaseModel)
Where = Literal["path", "query", "body"]
BODY_TIMEOUT_S = 30.0


async def bind(
    route: AnyRoute, request: web.Request, *, request_id: str, tenant: str
) -> Call[Any, Any, Any]:
    """Return the request as values of the route's models.

    Raises
    ------
    HttpProblem
        400: the body is not JSON. 408: the body did not come in time. 415: it is something else.
        422: path, query or body do not fit their models.
    """
    call: Call[Any, Any, Any] = Call(
        path=_validated(route.path, dict(request.match_info), "path"),
        query=_validated(route.query, _query_values(route.query, request.query), "query"),
        body=await _body(route, request),
        http=request,
        request_id=request_id,
        tenant=tenant,
    )
    call.notes.take_from(call.path, call.query, call.body)
    return call


def respond(
    route: AnyRoute, request: web.Request, result: BaseModel | Reply | web.StreamResponse
) -> web.StreamResponse:
    """Return the response to what a handler returned.

    Raises
    ------
    TypeError
        The route does not declare such an answer: documentation and behaviour have drifted.
    """
    if isinstance(result, web.StreamResponse):
        return result
    reply = result if isinstance(result, Reply) else Reply(result)
    declared = route.bodies(reply.status)
    fits = (
        None in declared
        if reply.body is None
        else any(isinstance(body, type) and isinstance(reply.body, body) for body in declared)
    )
    if not fits:
        raise TypeError(f"{route.operation_id} does not declare this answer to {reply.status}")
    headers = dict(reply.headers)
    if reply.etag:
        headers["ETag"] = f'"{reply.etag}"'
        known = request.if_none_match or ()
        if any(tag.value in ("*", reply.etag) for tag in known):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    return web.Response(
        status=reply.status,
        body=reply.body.model_dump_json(by_alias=True).encode(),
        content_type="application/json",
        headers=headers,
    )


async def _body(route: AnyRoute, request: web.Request) -> BaseModel:
    if not route.takes_body:
        return Nothing()
    if request.content_type != "application/json":
        # also what keeps a page of another origin out: a form cannot send this type
        raise HttpProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
    if route.body_bytes > request.client_max_size:
        request = request.clone(client_max_size=route.body_bytes)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError as exc:
        raise HttpProblem(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from exc
    except (ConnectionError, web.RequestPayloadError) as exc:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "the body did not come whole") from exc
    model: type[BaseModel] = route.body
    try:
        return model.model_validate_json(raw)
    except ValidationError as exc:
        if any(error["type"] == "json_invalid" for error in exc.errors(include_input=False)):
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "the body is not JSON") from None
        raise _unfit("body", exc) from None


def _validated(model: type[M], values: Mapping[str, object], where: Where) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise _unfit(where, exc) from None


def _query_values(model: type[BaseModel], query: MultiMapping[str]) -> dict[str, object]:
    """Return one value for each name, a list where the model has a list; a repetition stays one."""
    properties = model.model_json_schema().get("properties", {})
    values: dict[str, object] = {}
    for name in set(query):
        given = query.getall(name)
        is_list = properties.get(name, {}).get("type") == "array"
        if len(given) > 1 and not is_list:
            problem = FieldProblem(
                where="query", pointer=f"/{name}", problem="given more than once"
            )
            raise HttpProblem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not fit", fields=(problem,)
            )
        values[name] = given if is_list else given[0]
    return values


def _unfit(where: Where, error: ValidationError) -> HttpProblem:
    """Return the refusal; the text of a validation error would quote the caller's values."""
    fields = tuple(
        FieldProblem(
            where=where,
            pointer="".join(
                "/" + str(part).replace("~", "~0").replace("/", "~1") for part in each["loc"]
            ),
            problem=each["msg"],
        )
        for each in error.errors(include_input=False, include_url=False, include_context=False)
    )
    return HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not fit", fields=fields)
