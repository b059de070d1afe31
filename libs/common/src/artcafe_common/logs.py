"""Structured logging: one JSON object per line on standard output."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

from artcafe_common.log_limiter import RepeatLimiter

# The values of these fields are replaced, in case a secret is logged by mistake.
SECRET_KEYS = frozenset(
    {
        "seed",
        "nkey_seed",
        "token",
        "jwt",
        "signature",
        "sig",
        "password",
        "authorization",
        "nonce",
        "challenge",
    }
)


def configure(service: str, server_id: str, level: str) -> None:
    """Configure structlog and the standard library's logging for this process."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)

    def add_names(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {"service": service, "server_id": server_id, **event}

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_names,
            structlog.processors.add_log_level,
            RepeatLimiter(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module; only their errors are logged.
    logging.basicConfig(level=logging.ERROR, format="%(message)s", handlers=[_ToStructlog()], force=True)


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if key in SECRET_KEYS:
            event[key] = "[redacted]"
    return event


class _ToStructlog(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._log = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        self._log.error("library_error", logger=record.name, message=record.getMessage())
