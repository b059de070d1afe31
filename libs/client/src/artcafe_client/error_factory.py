"""Makes the exception of an error code."""

import logging
from typing import Any

from artcafe_client.error_codes import ERRORS
from artcafe_client.errors import ArtcafeError, ServerError, UnknownError

log = logging.getLogger("artcafe_client")


def create_error(
    code: str, message: str = "", *, retry_after_ms: float | None = None, detail: Any = None
) -> ServerError:
    """The exception of an error code that the server sent."""
    retry_after_s = None if retry_after_ms is None else retry_after_ms / 1000
    known = ERRORS.get(code)
    if known is None:
        return UnknownError(message, code=code, retry_after_s=retry_after_s, detail=detail)
    return known(message, retry_after_s=retry_after_s, detail=detail)


def log_error(error: ArtcafeError) -> None:
    """Log what the server says outside of any call."""
    log.warning("the server reports: %s", error, extra={"code": getattr(error, "code", "")})
