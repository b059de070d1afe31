"""Errors as RFC 9457 problem documents: the one place where they are rendered."""

from typing import Any

import msgspec
import structlog
from litestar import Response
from litestar.connection import Request
from litestar.exceptions import HTTPException

from artcafe_common.bus.errors import CommandError, FieldError, InternalError
from artcafe_gateway.http.request import BodyTooLarge, NotFound, caller_of

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger()


class MethodNotAllowed(CommandError):
    """The path exists, but not with this method."""

    status = 405
    code = "method_not_allowed"
    title = "The method is not allowed here"


class BadRequest(CommandError):
    """A request that could not be read at all."""

    status = 400
    code = "bad_request"
    title = "The request could not be read"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of an error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: tuple[FieldError, ...] = ()


def command_error(request: Request[Any, Any, Any], error: CommandError) -> Response[bytes]:
    """A refusal with its code."""
    request_id = caller_of(request).request_id
    problem = Problem(
        type=f"urn:artcafe:problem:{error.code}",
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
    if error.status == 401:  # noqa: PLR2004 - RFC 9110 wants the scheme named
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(problem), status_code=error.status, media_type=MEDIA_TYPE, headers=headers
    )


def http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the router itself refuses."""
    kinds: dict[int, type[CommandError]] = {404: NotFound, 405: MethodNotAllowed, 413: BodyTooLarge}
    kind = kinds.get(error.status_code, BadRequest if error.status_code < 500 else InternalError)  # noqa: PLR2004
    answer = command_error(request, kind())
    allowed = next((v for k, v in (error.headers or {}).items() if k.lower() == "allow"), None)
    if allowed is not None:
        answer.headers["Allow"] = allowed
    return answer


def internal_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A bug; the log has it under the request id, the caller learns nothing of it."""
    log.error("request_failed", path=request.scope["path"], exc_info=error)
    return command_error(request, InternalError())
