"""Reads typed values from a request: its origin, credentials, body and query."""

import ipaddress
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from litestar.connection import ASGIConnection, Request
from litestar.types import Scope

from artcafe_common.bus.caller import CallerContext, begin_request, new_request_id, new_traceparent
from artcafe_common.bus.errors import CommandError, FieldError, InvalidRequest, Unauthenticated
from artcafe_common.validation import describe_error

MAX_BODY = 1024 * 1024
MAX_ID = 128
# Deeper than any field needs; stored values must be readable by any JSON parser.
MAX_DEPTH = 64
MAX_ERRORS = 100
SLOW_BODY_S = 0.2
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = "artcafe_caller"
# Of a request's state: how long it has waited for messages, which is no part of its duration.
WAITED_S = "artcafe_waited_s"

T = TypeVar("T", bound=msgspec.Struct)
HttpConnection = ASGIConnection[Any, Any, Any, Any]


class NotFound(CommandError):
    """The path does not exist, or contains an id of an impossible form."""

    status = 404
    code = "not_found"
    title = "The resource does not exist"
    remedy = "Check the path and the ids in it against the API reference."


class BodyTooLarge(CommandError):
    """The body exceeds the maximum request size (1 MiB)."""

    status = 413
    code = "body_too_large"
    title = "The body is too large"
    remedy = "Send a smaller body, or split it over several requests."


@contextmanager
def waiting(scope: Scope) -> Iterator[None]:
    """The request waits for messages while the context is entered."""
    began_at = time.perf_counter()
    try:
        yield
    finally:
        scope["state"][WAITED_S] = time.perf_counter() - began_at


def caller_of(connection: HttpConnection) -> CallerContext:
    """The caller context of a request, before authentication; built once per request."""
    caller: CallerContext | None = connection.scope["state"].get(_STATE)
    if caller is None:
        caller = CallerContext(
            request_id=new_request_id(),
            traceparent=_traceparent(connection),
            ip=client_ip(connection),
            user_agent=user_agent(connection),
        )
        connection.scope["state"][_STATE] = caller
    return caller


def client_ip(connection: HttpConnection) -> str:
    """The client's IP address, from the proxy's headers behind nginx; empty when it is not an address."""
    host = connection.client.host if connection.client else ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _traceparent(connection: HttpConnection) -> str:
    received = connection.headers.get("traceparent", "")
    # The trace is the caller's, the decision whether it is recorded is not.
    return f"{received[:-2]}00" if _TRACEPARENT.fullmatch(received) else new_traceparent()


def user_agent(connection: HttpConnection) -> str:
    """The User-Agent header, truncated and in ASCII."""
    text = connection.headers.get("user-agent", "")[:256]
    return text.encode("ascii", "replace").decode()


def bearer_token(connection: HttpConnection) -> str:
    """The bearer token of the Authorization header; Unauthenticated if there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated
    return token.strip()


def validate_id(value: str) -> str:
    """An id from a path; NotFound for an impossible id."""
    if not value or len(value) > MAX_ID or not value.isprintable():
        raise NotFound
    return value


async def receive_body(request: Request[Any, Any, Any]) -> bytes:
    """The body as it is. The time of a client that sends slowly is not counted as ours."""
    began_at = time.monotonic()
    body = await request.body()
    if time.monotonic() - began_at > SLOW_BODY_S:
        begin_request()
    return body


async def read_body(request: Request[Any, Any, Any], kind: type[T], **server_fields: Any) -> T:
    """The JSON body as a Struct; `server_fields` come from the path or the caller, not from the body.

    BodyTooLarge; InvalidRequest lists every unknown field, or the first invalid one.
    """
    raw = await receive_body(request)
    if len(raw) > MAX_BODY:
        raise BodyTooLarge
    try:
        str(raw, "utf-8")
        fields = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except msgspec.ValidationError as error:
        # msgspec appends the position to an out-of-range error.
        message = str(error).partition(" - at `")[0] if "range" in str(error) else "Expected a JSON object"
        raise _invalid("body", message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _invalid("body", "Not valid JSON in UTF-8") from None
    if any(_deeper_than(MAX_DEPTH, value) for value in fields.values()):
        raise _invalid("body", "Nested too deeply")
    return _convert(fields, kind, server_fields, strict=True)


def read_query(request: Request[Any, Any, Any], kind: type[T], **server_fields: Any) -> T:
    """The query parameters as a Struct; InvalidRequest lists unknown, repeated or invalid parameters."""
    parameters = request.query_params.dict()
    repeated = sorted(name for name, values in parameters.items() if len(values) > 1)
    if repeated:
        errors = tuple(
            FieldError(field=n[:100], message="Given more than once") for n in repeated[:MAX_ERRORS]
        )
        raise InvalidRequest("the request has repeated parameters", errors=errors)
    fields = {name: values[0] for name, values in parameters.items()}
    converted = _convert(fields, kind, server_fields, strict=False)
    # msgspec converts the text "null" to None.
    for name in fields:
        if getattr(converted, name) is None:
            raise _invalid(name, "Expected a value")
    return converted


def _convert(fields: dict[str, Any], kind: type[T], server_fields: dict[str, Any], *, strict: bool) -> T:
    known = set(kind.__struct_encode_fields__) - server_fields.keys()
    unknown = sorted(fields.keys() - known)
    if unknown:
        errors = tuple(FieldError(field=n[:100], message="Unknown field") for n in unknown[:MAX_ERRORS])
        raise InvalidRequest("the request has unknown fields", errors=errors)
    given = {name: value for name, value in server_fields.items() if value is not msgspec.UNSET}
    try:
        return msgspec.convert({**fields, **given}, kind, strict=strict)
    except msgspec.ValidationError as error:
        message, _, path = describe_error(str(error), kind).partition(" - at `$.")
        raise _invalid(path.rstrip("`") or _missing_field(message), message) from None
    except RecursionError:
        raise _invalid("body", "Nested too deeply") from None


def _deeper_than(levels: int, value: Any) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for each in layer
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return True


def _missing_field(message: str) -> str:
    # "Object missing required field `name`"
    return message.split("`")[1] if "`" in message else "body"


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=(FieldError(field=field, message=message),))
