"""The one family of errors that a caller may see, wherever it was raised.

A handler raises one; it crosses NATS as a header and a body; the gateway renders it as
problem+json. `code` is part of the API: it never changes once released.
"""

from typing import ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field of the input; `field` is a dotted path."""

    field: str
    message: str


class CommandError(Exception):
    """A refusal with a stable code; `detail` is for people and holds no secret.

    The class docstring is the cause as the reference of errors shows it, `remedy` what the caller can do.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    remedy: ClassVar[str] = ""

    def __init__(
        self,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors
        self.retry_after_s = retry_after_s


class InternalError(CommandError):
    """A bug on our side; the log has it under the request id."""


class InvalidRequest(CommandError):
    """The input does not fit; `errors` names the fields."""

    status = 400
    code = "invalid_request"
    title = "The request is not valid"


class InvalidCursor(CommandError):
    """A cursor that this service did not issue to this tenant for this list."""

    status = 400
    code = "invalid_cursor"
    title = "The cursor is not valid"


class Unauthenticated(CommandError):
    """No credential, or one that does not verify."""

    status = 401
    code = "unauthenticated"
    title = "Authentication is required"


class Forbidden(CommandError):
    """Known, but not allowed; says nothing of what exists."""

    status = 403
    code = "forbidden"
    title = "Access is denied"


class BadGateway(CommandError):
    """A service answered with something that its contract does not declare."""

    status = 502
    code = "bad_gateway"
    title = "A service gave an answer that was not understood"


class ServiceUnavailable(CommandError):
    """No instance of a service listens; nothing was done, so trying again is safe."""

    status = 503
    code = "service_unavailable"
    title = "A service is not available"


class StoreUnavailable(CommandError):
    """DynamoDB or Redis did not answer."""

    status = 503
    code = "store_unavailable"
    title = "A store is not available"


class DeadlineExceeded(CommandError):
    """No answer in time; whether it was done is not known."""

    status = 504
    code = "deadline_exceeded"
    title = "A service did not answer in time"


# What any command may raise besides the errors that its contract declares.
COMMON_ERRORS: tuple[type[CommandError], ...] = (
    InternalError,
    InvalidRequest,
    Forbidden,
    Unauthenticated,
    ServiceUnavailable,
    StoreUnavailable,
    DeadlineExceeded,
    BadGateway,
)


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CommandError on the wire between services."""

    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after_s: int | None = None


def all_errors() -> list[type[CommandError]]:
    """Every imported error class, sorted by code; private classes share their parent's code and are left out."""
    found: set[type[CommandError]] = set()
    queue = [CommandError]
    while queue:
        below = [each for each in queue.pop().__subclasses__() if each.__module__.startswith("artcafe_")]
        found.update(each for each in below if not each.__name__.startswith("_"))
        queue += below
    return sorted(found, key=lambda error: error.code)
