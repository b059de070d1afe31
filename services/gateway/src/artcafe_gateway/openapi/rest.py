"""The REST API as an OpenAPI 3.1 document, made of the routes and the types that they use."""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from artcafe_common import __version__
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.http.problems import MEDIA_TYPE, PROBLEM_TYPES, Problem
from artcafe_gateway.openapi.examples import TENANT, example
from artcafe_gateway.openapi.operations import Operation

_METHODS = ("GET", "POST", "PUT", "DELETE")
JSON = "application/json"
_REF = "#/components/schemas/{name}"
_UNAUTHORIZED, _TOO_MANY = 401, 429
_TELLS_WHEN = (_TOO_MANY, 503)
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]
_INTRODUCTION = (
    "Publish/subscribe for fleets of AI agents. Errors are `application/problem+json` (RFC 9457): decide by `code`. "
    "With or without a trailing slash is the same route. The protocols of WebSockets and of NATS stand in `/schema/asyncapi.json`."
)
_IDENTIFIER = {"type": "string", "minLength": 1, "maxLength": 128}


def build_openapi(app: Litestar) -> dict[str, Any]:
    """The document of an application's routes."""
    operations = list(_operations(app))
    types = {
        id(kind): kind
        for each in operations
        for kind in (each.request_type, each.response_type)
        if kind is not None
    }
    kinds = [*types.values(), Problem]
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas = dict(zip((id(kind) for kind in kinds), found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _told(operation, schemas, components)
    for operation in operations:
        if operation.request_type is not None:
            _only_what_is_given(operation, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ArtCafe PubSub", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": _tags(operations),
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": _shared_parameters(),
            "headers": _shared_headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A person's token, of `POST /api/v1/auth/login`",
                }
            },
        },
    }


def _operations(app: Litestar) -> Iterable[Operation]:
    for route in sorted(app.routes, key=lambda each: each.path_format):
        if not isinstance(route, HTTPRoute):
            continue
        by_method = {
            str(method): each
            for each in route.route_handlers
            if each.resolve_include_in_schema()
            for method in each.http_methods
        }
        for method in _METHODS:
            if method in by_method:
                yield Operation(by_method[method], method, route.path_format)


def _tags(operations: list[Operation]) -> list[dict[str, str]]:
    described = {operation.tag: operation.tag_description for operation in operations}
    return [{"name": name, "description": text} for name, text in described.items()]


def _told(operation: Operation, schemas: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.operation_id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": _parameters(operation, components),
        "responses": _responses(operation, schemas),
    }
    if operation.requires_user:
        told["security"] = _SECURITY
    if operation.opt.get("deprecated"):
        told["deprecated"] = True
    if operation.has_body:
        told["requestBody"] = {
            # Of nothing that must be given, nothing need be sent.
            "required": operation.request_required,
            "content": {
                JSON: {
                    "schema": schemas[id(operation.request_type)],
                    "examples": {
                        "request": {"value": example(operation.request_type, without=operation.server_fields)}
                    },
                }
            },
        }
    return told


# -- what is given --------------------------------------------------------------------------------


def _parameters(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _IDENTIFIER,
            "example": _example_of(operation, name),
        }
        for name in operation.path_fields
    ]
    if operation.requires_tenant and "account_id" not in operation.path_fields:
        found.append({"$ref": "#/components/parameters/tenant"})
    if operation.accepts_idempotency_key:
        found.append({"$ref": "#/components/parameters/once"})
    if operation.has_query and operation.request_type is not None:
        schema = components[operation.request_type.__name__]
        required = schema.get("required", [])
        values = example(operation.request_type)
        for name, shape in schema["properties"].items():
            if name in operation.server_fields:
                continue
            parameter = {"name": name, "in": "query", "required": name in required, "schema": _plain(shape)}
            if values[name] is not None:
                parameter["example"] = values[name]
            found.append(parameter)
    return found


def _example_of(operation: Operation, name: str) -> Any:
    del operation
    one = msgspec.defstruct("Path", [(name, str)])
    return example(one)[name]


def _plain(shape: dict[str, Any]) -> dict[str, Any]:
    """A query's value cannot be null: it is left out."""
    kinds = [each for each in shape.get("anyOf", []) if each != {"type": "null"}]
    if len(kinds) == 1:
        return {**kinds[0], **{k: v for k, v in shape.items() if k not in ("anyOf", "default")}}
    return {name: value for name, value in shape.items() if name != "default" or value is not None}


def _only_what_is_given(operation: Operation, components: dict[str, Any]) -> None:
    """A body's schema without the fields that are not the caller's, and a query's schema not at all."""
    assert operation.request_type is not None  # noqa: S101 - asked before
    name = operation.request_type.__name__
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


def _shared_parameters() -> dict[str, Any]:
    return {
        "tenant": {
            "name": "X-Tenant-Id",
            "in": "header",
            "required": False,
            "description": "The organization to act for; needed by whoever belongs to several",
            "schema": {"type": "string"},
            "example": TENANT,
        },
        "once": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Done once, and answered the same, for 24 hours",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            "example": "5e0a0d3c-2f1b-4a55-9b1e-1f4b9a6f6a11",
        },
    }


# -- what is answered -----------------------------------------------------------------------------


def _responses(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in operation.statuses:
        found[str(status)] = {
            "description": operation.summary if status < 300 else "The same, when it is not well",  # noqa: PLR2004
            "headers": _headers(operation, status),
            "content": _content(operation, schemas),
        }
    by_status: dict[int, list[type[CommandError]]] = {}
    for error in operation.errors:
        by_status.setdefault(error.status, []).append(error)
    for status, errors in by_status.items():
        refused = _refused(operation, status, errors)
        if str(status) in found:
            found[str(status)]["content"] |= refused["content"]
        else:
            found[str(status)] = refused
    return dict(sorted(found.items()))


def _content(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    if operation.opt.get("plain_text"):
        return {"text/plain": {"schema": {"type": "string"}}}
    content: dict[str, Any] = {
        JSON: {
            "schema": schemas[id(operation.response_type)],
            "examples": {"answer": {"value": example(operation.response_type)}},
        }
    }
    if operation.opt.get("page"):
        content["text/html"] = {
            "schema": {"type": "string"},
            "examples": {"page": {"value": "<!doctype html>…"}},
        }
    return content


def _refused(operation: Operation, status: int, errors: list[type[CommandError]]) -> dict[str, Any]:
    codes = [error.code for error in errors]
    return {
        "description": "; ".join(f"`{error.code}`: {error.title}" for error in errors),
        "headers": _headers(operation, status),
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "allOf": [
                        {"$ref": _REF.format(name="Problem")},
                        {"properties": {"code": {"enum": codes}, "status": {"const": status}}},
                    ]
                },
                "examples": {error.code: {"value": _problem(error)} for error in errors},
            }
        },
    }


def _problem(error: type[CommandError]) -> dict[str, Any]:
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
        names += ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]
    if operation.accepts_idempotency_key:
        names.append("Idempotency-Replayed")
    if operation.opt.get("deprecated"):
        names += ["Deprecation", "Link"]
    if status == _UNAUTHORIZED:
        names.append("WWW-Authenticate")
    if status in _TELLS_WHEN:
        names.append("Retry-After")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _shared_headers() -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0}
    text = {"type": "string"}
    told: dict[str, tuple[str, dict[str, Any], Any]] = {
        "X-Request-Id": ("Names the call in our log", text, "4bf92f3577b34da6"),
        "RateLimit-Limit": ("Calls a minute; absent where there is no limit", number, 500),
        "RateLimit-Remaining": ("How many are left", number, 499),
        "RateLimit-Reset": ("In how many seconds all are there again", number, 1),
        "Retry-After": ("In how many seconds to try again, where that is known", number, 2),
        "Idempotency-Replayed": ("`true` when the answer is that of an earlier request", text, "true"),
        "WWW-Authenticate": ("How to authenticate", text, "Bearer"),
        "Deprecation": ("Since when there is a successor (RFC 9745)", text, "@1767225600"),
        "Link": ("The successor", text, '</api/v1/clients>; rel="successor-version"'),
    }
    return {
        name: {"description": description, "schema": schema, "example": value}
        for name, (description, schema, value) in told.items()
    }
