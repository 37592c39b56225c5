"""The OpenAPI 3.1 document of a set of routes, from the models that the routes are bound by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from dicomio.http.problems import CONTENT_TYPE, Problem
from dicomio.http.roles import Role
from dicomio.http.routes import AnyRoute, Body

Schemas = Mapping[tuple[type[Any], JsonSchemaMode], dict[str, Any]]
PARAMETER = re.compile(r"\{([^}:]+)[^}]*\}")
_SCHEMAS = "#/components/schemas/"


def document(
    title: str, version: str, routes: Sequence[AnyRoute], *, authenticated: bool
) -> dict[str, Any]:
    """Return the document; it holds no host, so that it is the same behind any proxy."""
    refs, definitions = models_json_schema(_models(routes), ref_template=_SCHEMAS + "{model}")
    schemas: Schemas = {**refs}
    components = definitions.get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = PARAMETER.sub(r"{\1}", route.template)
        operation = _operation(route, schemas, components)
        if authenticated:
            # RFC 6750 tokens; OpenAPI 3.1 lets other schemes than OAuth 2 name the roles they need
            anyone = route.role is Role.ANYONE
            operation["security"] = [] if anyone else [{"token": [route.role.value]}]
        paths.setdefault(path, {})[route.method.lower()] = operation
    whole: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }
    if authenticated:
        whole["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        whole["security"] = [{"token": []}]
    return whole


def _models(routes: Sequence[AnyRoute]) -> list[tuple[type[BaseModel], JsonSchemaMode]]:
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for route in routes:
        for taken in (route.path, route.query, route.body):
            models[(taken, "validation")] = None
        for status in route.responses:
            for body in route.bodies(status):
                if isinstance(body, type):
                    models[(body, "serialization")] = None
    return list(models)


def _operation(route: AnyRoute, schemas: Schemas, components: dict[str, Any]) -> dict[str, Any]:
    problem = {CONTENT_TYPE: {"schema": schemas[(Problem, "serialization")]}}
    responses: dict[str, Any] = {
        str(status): _response(status, route.bodies(status), schemas) for status in route.responses
    }
    for status in route.errors:
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    responses["default"] = {"description": "A problem (RFC 9457)", "content": problem}
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "responses": responses,
    }
    if route.tags:
        operation["tags"] = list(route.tags)
    parameters = [
        *_parameters("path", schemas[(route.path, "validation")], components),
        *_parameters("query", schemas[(route.query, "validation")], components),
        *(
            {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
            for name, text in route.request_headers.items()
        ),
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.takes_body:
        schema = schemas[(route.body, "validation")]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _response(status: int, bodies: tuple[Body, ...], schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for body in bodies:
        if isinstance(body, str):
            content[body] = {"schema": {"type": "string"}}
        elif body is not None:
            content["application/json"] = {"schema": schemas[(body, "serialization")]}
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if content:
        described["content"] = content
    return described


def _parameters(
    place: str, schema: dict[str, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    model = components[schema["$ref"].removeprefix(_SCHEMAS)] if "$ref" in schema else schema
    required = set(model.get("required", ()))
    return [
        {
            "name": name,
            "in": place,
            "required": place == "path" or name in required,
            "schema": property_schema,
            **_described(property_schema),
        }
        for name, property_schema in model.get("properties", {}).items()
    ]


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"]} if "description" in schema else {}
