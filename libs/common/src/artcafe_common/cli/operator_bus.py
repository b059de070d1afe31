"""The operator's connection to the services."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.settings import StoreSettings, load

CONNECT_TIMEOUT_S = 5


def log_errors_only() -> None:
    """Log errors only, to standard error, so that standard output has the command's result alone."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@asynccontextmanager
async def operator_bus() -> AsyncIterator[Bus]:
    """A bus with the operator's credentials; raises FileNotFoundError or ServiceUnavailable."""
    log_errors_only()
    settings = load(StoreSettings)
    credentials = settings.keys_dir / "admin.creds"
    if not credentials.exists():
        raise FileNotFoundError(f"{credentials} does not exist; set ARTCAFE_KEYS_DIR to the keys' directory")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            nc = await connect(settings.nats_url, credentials, name="admin", ca_file=settings.ca_file)
    except TimeoutError:
        raise ServiceUnavailable(f"no broker answers at {settings.nats_url}") from None
    try:
        yield Bus(nc, service="admin")
    finally:
        await nc.close()
