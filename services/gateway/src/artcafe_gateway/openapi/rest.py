"""The OpenAPI 3.1 document of the REST API, generated from the routes and their types."""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from artcafe_common import __version__
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.http.csv_response import CSV
from artcafe_gateway.http.problems import MEDIA_TYPE, PROBLEM_TYPES, Problem
from artcafe_gateway.openapi import generators
from artcafe_gateway.openapi.components import shared_headers, shared_parameters
from artcafe_gateway.openapi.examples import build_example
from artcafe_gateway.openapi.operations import Operation

_METHODS = ("GET", "POST", "PUT", "DELETE")
JSON = "application/json"
_REF = "#/components/schemas/{name}"
_FIRST_ERROR_STATUS = 300
_NOT_MODIFIED, _BAD_REQUEST, _UNAUTHORIZED = 304, 400, 401
_STATUSES_WITH_RETRY_AFTER = (429, 503)
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]
_SECURITY_WITH_CLIENTS = [*_SECURITY, {"client_token": []}]
_PUBLIC: list[dict[str, list[str]]] = []
_INTRODUCTION = (
    "Publish/subscribe for fleets of AI agents. Errors are `application/problem+json` (RFC 9457); programs should "
    "test `code`. A trailing slash makes no difference. `/schema/asyncapi.json` describes the WebSocket and NATS protocols."
)
_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 128}


def build_openapi(app: Litestar) -> dict[str, Any]:
    """Generates the document of an application's routes."""
    operations = list(_operations(app))
    types_by_id = {
        id(type_): type_
        for operation in operations
        for type_ in (operation.request_type, operation.response_type)
        if type_ is not None
    }
    types = [*types_by_id.values(), Problem]
    type_schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schemas = dict(zip((id(type_) for type_ in types), type_schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, schemas, components
        )
    for operation in operations:
        if operation.request_type is not None:
            _restrict_request_schema(operation, operation.request_type, components)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "ArtCafe PubSub",
            "version": __version__,
            "description": _INTRODUCTION,
            "contact": {"name": "The operator of this installation"},
            "license": {"name": "All rights reserved", "identifier": "LicenseRef-All-Rights-Reserved"},
        },
        "servers": [{"url": "/"}],
        "tags": _tags(operations),
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": shared_parameters(),
            "headers": shared_headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A user's token from `POST /api/v1/auth/login`",
                },
                "client_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A client's token from `POST /api/v1/auth/client/token`",
                },
            },
        },
    }
    generators.adapt(document)
    return document


def _operations(app: Litestar) -> Iterable[Operation]:
    for route in sorted(app.routes, key=lambda route: route.path_format):
        if not isinstance(route, HTTPRoute):
            continue
        by_method = {
            str(method): handler
            for handler in route.route_handlers
            if handler.resolve_include_in_schema()
            for method in handler.http_methods
        }
        for method in _METHODS:
            if method in by_method:
                yield Operation(by_method[method], method, route.path_format)


def _tags(operations: list[Operation]) -> list[dict[str, str]]:
    descriptions = {operation.tag: operation.tag_description for operation in operations}
    return [{"name": name, "description": text} for name, text in descriptions.items()]


def _operation(operation: Operation, schemas: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": operation.operation_id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _parameters(operation, components),
        "responses": _responses(operation, schemas),
    }
    document["security"] = _SECURITY if operation.requires_user else _PUBLIC
    if operation.accepts_clients:
        document["security"] = _SECURITY_WITH_CLIENTS
    if operation.opt.get("deprecated"):
        document["deprecated"] = True
    if operation.has_body:
        document["requestBody"] = {
            "required": operation.request_required,
            "content": {
                JSON: {
                    "schema": _body_schema(operation, schemas),
                    "examples": {
                        "request": {
                            "value": build_example(operation.request_type, without=operation.server_fields)
                        }
                    },
                }
            },
        }
    return document


# -- requests --------------------------------------------------------------------------------------


def _parameters(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _ID_SCHEMA,
            "example": _path_example(name),
        }
        for name in operation.path_fields
    ]
    if operation.accepts_tenant:
        parameters.append({"$ref": "#/components/parameters/tenant"})
    if operation.accepts_idempotency_key:
        parameters.append({"$ref": "#/components/parameters/once"})
    if operation.accepts_if_match:
        parameters.append({"$ref": "#/components/parameters/if_match"})
    if operation.returns_etag and operation.method == "GET":
        parameters.append({"$ref": "#/components/parameters/if_none_match"})
    if operation.has_query and operation.request_type is not None:
        schema = components[operation.request_type.__name__]
        required = schema.get("required", [])
        values = build_example(operation.request_type)
        for name, field_schema in schema["properties"].items():
            if name in operation.server_fields:
                continue
            parameter = {
                "name": name,
                "in": "query",
                "required": name in required,
                "schema": _query_schema(field_schema),
            }
            if values[name] is not None:
                parameter["example"] = values[name]
            parameters.append(parameter)
    return parameters


def _path_example(name: str) -> Any:
    return build_example(msgspec.defstruct("Path", [(name, str)]))[name]


def _query_schema(schema: dict[str, Any]) -> dict[str, Any]:
    # A query parameter is absent rather than null.
    types = [type_ for type_ in schema.get("anyOf", []) if type_ != {"type": "null"}]
    if len(types) == 1:
        return {
            **types[0],
            **{key: value for key, value in schema.items() if key not in ("anyOf", "default")},
        }
    return {key: value for key, value in schema.items() if key != "default" or value is not None}


def _body_schema(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = schemas[id(operation.request_type)]
    other = operation.opt.get("other_request_schema")
    return schema if other is None else {"anyOf": [schema, other]}


def _restrict_request_schema(
    operation: Operation, request_type: type[msgspec.Struct], components: dict[str, Any]
) -> None:
    """Removes the fields that the server sets from a body's schema, and the schemas of queries."""
    name = request_type.__name__
    if operation.has_query:
        components.pop(name, None)
        return
    schema = components.get(name)
    if schema is None:
        return
    for field in operation.server_fields & schema["properties"].keys():
        del schema["properties"][field]
    schema["required"] = [field for field in schema["required"] if field not in operation.server_fields]
    schema["additionalProperties"] = False


# -- responses -------------------------------------------------------------------------------------


def _responses(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in operation.statuses:
        success = status < _FIRST_ERROR_STATUS
        responses[str(status)] = {
            "description": operation.summary if success else "The same body, for a failed check",
            "headers": _headers(operation, status),
            "content": _content(operation, schemas),
        }
    by_status: dict[int, list[type[CommandError]]] = {}
    for error in operation.errors:
        by_status.setdefault(error.status, []).append(error)
    for status, errors in by_status.items():
        response = _error_response(operation, status, errors)
        if str(status) in responses:
            responses[str(status)]["content"] |= response["content"]
        else:
            responses[str(status)] = response
    if operation.returns_etag and operation.method == "GET":
        responses["304"] = {
            "description": "`If-None-Match` has the ETag of the resource",
            "headers": _headers(operation, _NOT_MODIFIED),
        }
    return dict(sorted(responses.items()))


def _content(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    if operation.opt.get("plain_text"):
        return {"text/plain": {"schema": {"type": "string"}}}
    if media_type := operation.opt.get("response_media_type"):
        example = {"value": operation.opt["response_example"]}
        # Generated clients read a type that they do not know only as bytes.
        schema = {"type": "string"} | ({} if media_type.startswith("text/") else {"format": "binary"})
        return {media_type: {"schema": schema, "examples": {"response": example}}, **_csv_content(operation)}
    content: dict[str, Any] = {
        JSON: {
            "schema": schemas[id(operation.response_type)],
            "examples": {"response": {"value": build_example(operation.response_type)}},
        }
    }
    if operation.opt.get("page"):
        content["text/html"] = {
            "schema": {"type": "string"},
            "examples": {"page": {"value": "<!doctype html>…"}},
        }
    return content | _csv_content(operation)


def _csv_content(operation: Operation) -> dict[str, Any]:
    """The response to `Accept: text/csv`, if the route has one."""
    row_type: type[msgspec.Struct] | None = operation.opt.get("csv_rows")
    if row_type is None:
        return {}
    lines = [row_type.__struct_fields__, build_example(row_type).values()]
    text = "".join(f"{','.join(map(str, line))}\r\n" for line in lines)
    return {CSV: {"schema": {"type": "string"}, "examples": {"table": {"value": text}}}}


def _error_response(operation: Operation, status: int, errors: list[type[CommandError]]) -> dict[str, Any]:
    # Its codes are in the description and the examples. As an enum in the schema, generators would make a type of each.
    return {
        "description": "; ".join(f"`{error.code}`: {error.title}" for error in errors),
        "headers": _headers(operation, status),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": _REF.format(name="Problem")},
                "examples": {error.code: {"value": _problem_example(error)} for error in errors},
            }
        },
    }


def _problem_example(error: type[CommandError]) -> dict[str, Any]:
    return {
        "type": f"{PROBLEM_TYPES}/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.title,
        "code": error.code,
        "request_id": "4bf92f3577b34da6",
    }


def _headers(operation: Operation, status: int) -> dict[str, Any]:
    names = ["X-Request-Id"]
    if operation.requires_user or operation.tag == "auth":
        names += [name for name in shared_headers() if name.startswith("RateLimit")]
    if operation.accepts_idempotency_key:
        names.append("Idempotency-Replayed")
    if operation.returns_etag and status < _BAD_REQUEST:
        names.append("ETag")
    if operation.opt.get("deprecated"):
        names += ["Deprecation", "Link"]
    if status == _UNAUTHORIZED:
        names.append("WWW-Authenticate")
    if status in _STATUSES_WITH_RETRY_AFTER:
        names.append("Retry-After")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
