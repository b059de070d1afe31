"""What is read from a request: its origin, its credentials, its body and query, as typed values."""

import ipaddress
import re
from typing import Any, TypeVar

import msgspec
from litestar.connection import ASGIConnection, Request

from artcafe_common.bus.caller import CallerContext, new_request_id, new_traceparent
from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError, FieldError, InvalidRequest, Unauthenticated

MAX_BODY = 1024 * 1024
MAX_ID = 128
# Nothing that is asked for is nested deeper; what is kept or sent on must be readable everywhere.
MAX_DEPTH = 64
MAX_ERRORS = 100
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = "artcafe_caller"

C = TypeVar("C", bound=Command[Any])
T = TypeVar("T", bound=msgspec.Struct)
HttpConnection = ASGIConnection[Any, Any, Any, Any]


class NotFound(CommandError):
    """No such path, or an id that nothing can have."""

    status = 404
    code = "not_found"
    title = "There is nothing here"


class BodyTooLarge(CommandError):
    """More than a request may carry."""

    status = 413
    code = "body_too_large"
    title = "The body is too large"


def caller_of(connection: HttpConnection) -> CallerContext:
    """The request's origin, not yet authenticated; made once a request."""
    found: CallerContext | None = connection.scope["state"].get(_STATE)
    if found is None:
        found = CallerContext(
            request_id=new_request_id(),
            traceparent=_traceparent(connection),
            ip=client_ip(connection),
            user_agent=user_agent(connection),
        )
        connection.scope["state"][_STATE] = found
    return found


def client_ip(connection: HttpConnection) -> str:
    """The peer's address; behind nginx uvicorn has taken it from the proxy's headers. Empty when it is none."""
    host = connection.client.host if connection.client else ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _traceparent(connection: HttpConnection) -> str:
    given = connection.headers.get("traceparent", "")
    return given if _TRACEPARENT.fullmatch(given) else new_traceparent()


def user_agent(connection: HttpConnection) -> str:
    """The peer's User-Agent, cut and made printable."""
    text = connection.headers.get("user-agent", "")[:256]
    return text.encode("ascii", "replace").decode()


def bearer(connection: HttpConnection) -> str:
    """The bearer token of the Authorization header; Unauthenticated without one."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated
    return token.strip()


def validate_id(value: str) -> str:
    """An id from a path; NotFound for what cannot be one."""
    if not value or len(value) > MAX_ID or not value.isprintable():
        raise NotFound
    return value


async def body(request: Request[Any, Any, Any], kind: type[T], **path: str) -> T:
    """A body as a Struct whose remaining fields come from the path.

    InvalidRequest names every field that is unknown, and the first that does not fit.
    """
    raw = await request.body()
    if len(raw) > MAX_BODY:
        raise BodyTooLarge
    try:
        str(raw, "utf-8")
        fields = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except msgspec.ValidationError as error:
        # Of a number out of range msgspec tells where it is, too.
        message = str(error).partition(" - at `")[0] if "range" in str(error) else "Expected a JSON object"
        raise _invalid("body", message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _invalid("body", "Not valid JSON in UTF-8") from None
    if any(_deeper_than(MAX_DEPTH, value) for value in fields.values()):
        raise _invalid("body", "Nested too deeply")
    return _convert(fields, kind, path, strict=True)


def query(request: Request[Any, Any, Any], kind: type[T], **path: Any) -> T:
    """The query as a Struct; InvalidRequest names what is unknown, given twice, or does not fit."""
    given = request.query_params.dict()
    repeated = sorted(name for name, values in given.items() if len(values) > 1)
    if repeated:
        errors = tuple(
            FieldError(field=n[:100], message="Given more than once") for n in repeated[:MAX_ERRORS]
        )
        raise InvalidRequest("the request has repeated parameters", errors=errors)
    fields = {name: values[0] for name, values in given.items()}
    found = _convert(fields, kind, path, strict=False)
    # msgspec takes the text "null" for None.
    for name in fields:
        if getattr(found, name) is None:
            raise _invalid(name, "Expected a value")
    return found


def _convert(fields: dict[str, Any], kind: type[T], path: dict[str, Any], *, strict: bool) -> T:
    known = {field.encode_name for field in msgspec.structs.fields(kind)} - path.keys()
    unknown = sorted(fields.keys() - known)
    if unknown:
        errors = tuple(FieldError(field=n[:100], message="Unknown field") for n in unknown[:MAX_ERRORS])
        raise InvalidRequest("the request has unknown fields", errors=errors)
    try:
        return msgspec.convert({**fields, **path}, kind, strict=strict)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")
        raise _invalid(where.rstrip("`") or _missing(message), message) from None
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


def _missing(message: str) -> str:
    # "Object missing required field `name`"
    return message.split("`")[1] if "`" in message else "body"


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=(FieldError(field=field, message=message),))
