"""Renders errors as RFC 9457 problem documents."""

from typing import Any

import msgspec
import structlog
from litestar import Response, WebSocket
from litestar.connection import Request
from litestar.exceptions import HTTPException

from artcafe_common.bus.errors import CommandError, FieldError, InternalError
from artcafe_gateway.http.content_encoding import SUPPORTED, UnsupportedContentEncoding
from artcafe_gateway.http.head import allowed_methods
from artcafe_gateway.http.request import BodyTooLarge, HttpConnection, NotFound, caller_of
from artcafe_gateway.wire.transport import PROTOCOL_EXTENSION

MEDIA_TYPE = "application/problem+json"
# The path under which each error code is described.
# What nginx logs for a client that did not wait for the response.
CLIENT_CLOSED_REQUEST = 499
# The detail of Litestar's error while it reads a body.
_DISCONNECTED = "client disconnected prematurely"
PROBLEM_TYPES = "/problems"
# The key of a request's state under which the code of its problem is stored.
PROBLEM_CODE = "artcafe_problem_code"
log = structlog.get_logger()


class MethodNotAllowed(CommandError):
    """The path exists, but does not support this HTTP method."""

    status = 405
    code = "method_not_allowed"
    title = "The method is not allowed"
    remedy = "Use one of the methods in the `Allow` header."


class BadRequest(CommandError):
    """The HTTP request is malformed."""

    status = 400
    code = "bad_request"
    title = "The request is malformed"
    remedy = "Send a well-formed HTTP request: check its headers, its encoding and its length."


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document; `type` is a URI reference to the description of `code`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: tuple[FieldError, ...] = ()


def command_error(request: HttpConnection, error: CommandError) -> Response[bytes]:
    """The response for a CommandError."""
    request_id = caller_of(request).request_id
    request.scope["state"][PROBLEM_CODE] = error.code
    problem = Problem(
        type=f"{PROBLEM_TYPES}/{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=request_id,
        errors=error.errors,
    )
    headers = {"X-Request-Id": request_id}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnsupportedContentEncoding):
        headers["Accept-Encoding"] = SUPPORTED
    if error.status == 401:  # noqa: PLR2004 - RFC 9110 requires the scheme
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(problem), status_code=error.status, media_type=MEDIA_TYPE, headers=headers
    )


async def reject_handshake(socket: WebSocket[Any, Any, Any], error: CommandError) -> None:
    """Answer the handshake of a WebSocket with a problem document in place of accepting it."""
    response = command_error(socket, error)
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    protocol: Any = socket.scope["extensions"][PROTOCOL_EXTENSION]  # type: ignore[index]
    await protocol.reject_handshake(error.status, headers, response.content)


def http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The response for a request that the router rejects, or whose client disconnected."""
    if error.detail == _DISCONNECTED:
        # Nobody receives it; the log shows that it was no failure.
        return Response(b"", status_code=CLIENT_CLOSED_REQUEST)
    kinds: dict[int, type[CommandError]] = {404: NotFound, 405: MethodNotAllowed, 413: BodyTooLarge}
    kind = kinds.get(error.status_code, BadRequest if error.status_code < 500 else InternalError)  # noqa: PLR2004
    response = command_error(request, kind())
    allowed = next((v for k, v in (error.headers or {}).items() if k.lower() == "allow"), None)
    if allowed is not None:
        response.headers["Allow"] = ", ".join(allowed_methods(allowed.split(", ")))
    return response


def internal_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The response for an unexpected exception; it is logged with the request id, and not shown."""
    log.error("request_failed", path=request.scope["path"], exc_info=error)
    return command_error(request, InternalError())
