"""The operator's own way onto the bus."""

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

BROKER_WITHIN_S = 5


def quiet() -> None:
    """Answers go to standard output; a connection that comes and goes is none of the operator's business."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@asynccontextmanager
async def operator_bus() -> AsyncIterator[Bus]:
    """A bus with the operator's credentials; FileNotFoundError without them, ServiceUnavailable."""
    quiet()
    settings = load(StoreSettings)
    credentials = settings.keys_dir / "admin.creds"
    if not credentials.exists():
        raise FileNotFoundError(f"there is no {credentials}; ARTCAFE_KEYS_DIR names the keys' directory")
    try:
        async with asyncio.timeout(BROKER_WITHIN_S):
            nc = await connect(settings.nats_url, credentials, name="admin")
    except TimeoutError:
        raise ServiceUnavailable(f"no broker answers at {settings.nats_url}") from None
    try:
        yield Bus(nc, service="admin")
    finally:
        await nc.close()
