"""The errors that commands raise and API users see.

A handler raises a CommandError, the bus transfers it in a header and a body, and the gateway renders it as
problem+json. `code` is part of the API and does not change once released.
"""

from typing import ClassVar

import msgspec

# What decoding JSON raises: msgspec passes on Python's own errors for invalid UTF-8 and for too deep nesting.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """The problem with one field of the input; `field` is a dotted path."""

    field: str
    message: str


class CommandError(Exception):
    """An error with a stable code; `detail` is for people and contains no secret.

    The reference of error codes shows the docstring of a class as the cause, and `remedy`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    remedy: ClassVar[str] = ""
    # After how many seconds a caller may try again, unless the error itself knows; None: not said.
    default_retry_after_s: ClassVar[int | None] = None

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
        self.retry_after_s = self.default_retry_after_s if retry_after_s is None else retry_after_s


class InternalError(CommandError):
    """A service failed unexpectedly; its log contains the `request_id`."""

    remedy = "Retry later. If it persists, report the `request_id` to the operator."


class InvalidRequest(CommandError):
    """A field is missing, unknown or has an invalid value; `errors` names the fields."""

    status = 400
    code = "invalid_request"
    title = "The request is not valid"
    remedy = "Correct the fields that `errors` names."


class InvalidCursor(CommandError):
    """The cursor was not issued for this list of this organization."""

    status = 400
    code = "invalid_cursor"
    title = "The cursor is not valid"
    remedy = "Use the `next_cursor` of the previous page unchanged, or omit `cursor` to read the first page."


class Unauthenticated(CommandError):
    """The request has no credential, or the credential is not valid."""

    status = 401
    code = "unauthenticated"
    title = "Authentication is required"
    remedy = "Send a valid bearer token in the `Authorization` header."


class Forbidden(CommandError):
    """The caller's role does not allow the operation, or the organization is not one of the caller's."""

    status = 403
    code = "forbidden"
    title = "Access is denied"
    remedy = "Use an identity with the required role, or ask an administrator of the organization."


class BadGateway(CommandError):
    """A service sent a reply that its contract does not declare."""

    status = 502
    code = "bad_gateway"
    title = "A service sent an invalid reply"
    remedy = "Retry later. If it persists, report the `request_id` to the operator."


class ServiceUnavailable(CommandError):
    """No instance of a service is available; the request was not processed."""

    status = 503
    code = "service_unavailable"
    title = "A service is not available"
    remedy = "Retry after the time in `Retry-After`, with an increasing delay."
    default_retry_after_s = 2


class StoreUnavailable(CommandError):
    """DynamoDB or Redis did not respond, or refused the request because of its own state."""

    status = 503
    code = "store_unavailable"
    title = "A data store is not available"
    remedy = "Retry after the time in `Retry-After`, with an increasing delay, and send an `Idempotency-Key` with each POST request."
    default_retry_after_s = 2


class DeadlineExceeded(CommandError):
    """A service did not reply in time; the operation may or may not have been carried out."""

    status = 504
    code = "deadline_exceeded"
    title = "A service did not reply in time"
    remedy = "Check whether the change was made before you repeat the request, or repeat it with the same `Idempotency-Key`."


# Any command may raise these in addition to the errors that its contract declares.
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
    """The body of an error reply between services."""

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
