"""Calls of JetStream's API, which is missing for a moment whenever an account's claims change."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.msg import Msg

API_PREFIX = "$JS.API."
# While nats-server 2.15 replaces the claims of an account, it removes the account's imports, the API among them, and
# adds them again: a call in between has no responders.
MAX_MISSING_S = 1.5
RETRY_S = 0.05


async def repeat_while_missing(request: Callable[[], Awaitable[Msg]], *, timeout_s: float) -> Msg:
    """The reply to a call of JetStream's API. Raises NoRespondersError if it stays missing: JetStream is disabled."""
    give_up_at = time.monotonic() + min(timeout_s, MAX_MISSING_S)
    while True:
        try:
            return await request()
        except nats.errors.NoRespondersError:
            if time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(RETRY_S)
