"""Receives the calls of each account over a subscription of its own, of which the broker delivers a bounded number.

A burst of calls must not wait in front of those of other accounts, neither in the broker nor here. So the broker is
asked for at most `WINDOW` calls of an account, and for more once these have been answered. It answers what comes
meanwhile itself, at once, as it does where nobody listens.

        listening ──WINDOW calls received──> exhausted ──half of them answered──> listening
"""

from collections.abc import Callable

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.limited_subscription import LimitedSubscription
from artcafe_common.contracts.stream_api import STREAM_API_ROOT

QUEUE = "identity"
WINDOW = 64


class _Window(msgspec.Struct, kw_only=True):
    subscription: LimitedSubscription
    # Calls that were received and not answered yet.
    waiting: int = 0


class CallWindows:
    """The subscriptions of all accounts; `on_call` must lead to one `finished` for each call."""

    def __init__(self, nc: Nats, on_call: Callable[[str, Msg], None]) -> None:
        self._nc = nc
        self._on_call = on_call
        self._windows: dict[str, _Window] = {}

    async def update(self, accounts: set[str]) -> None:
        """Listen to the calls of exactly these accounts."""
        for account in self._windows.keys() - accounts:
            await self._windows.pop(account).subscription.end()
        for account in accounts - self._windows.keys():
            await self.add(account)
        # Also those whose last messages could not be read.
        exhausted = [each for each in self._windows.items() if each[1].subscription.exhausted]
        for account, window in exhausted:
            await self._renew(account, window)

    async def add(self, account: str) -> None:
        """Listen to the calls of an account."""
        if account not in self._windows:
            self._windows[account] = _Window(subscription=await self._subscribe(account, WINDOW))

    async def finished(self, account: str) -> None:
        """Count a call as answered."""
        window = self._windows.get(account)
        if window is not None:
            window.waiting -= 1
            await self._renew(account, window)

    async def _renew(self, account: str, window: _Window) -> None:
        if window.subscription.exhausted and window.waiting <= WINDOW // 2:
            window.subscription = await self._subscribe(account, WINDOW - window.waiting)

    async def _subscribe(self, account: str, limit: int) -> LimitedSubscription:
        def receive(message: Msg) -> None:
            window = self._windows.get(account)
            if window is not None:
                window.waiting += 1
                self._on_call(account, message)

        return await LimitedSubscription.open(
            self._nc, f"{STREAM_API_ROOT}.{account}.>", queue=QUEUE, limit=limit, handler=receive
        )
