"""The stream's answers to what was published: that it was kept, and where."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import msgspec

from artcafe_common.broker.subjects import HISTORY_STREAM, REPUBLISH_PREFIX
from artcafe_common.clock import new_id
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup

KEPT_WITHIN_S = 1.0
OnAck = Callable[[int | None], None]


class _Ack(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    seq: int


class PublishAcks(BrokerSubscription):
    """Where the answers for one bridge arrive; `expect` before publishing."""

    __slots__ = ("_callbacks", "_numbers", "_root")

    def __init__(self, tenant_id: str, make: type[RenderGroup]) -> None:
        super().__init__(tenant_id, make)
        self._root = ""
        self._numbers = count()
        self._callbacks: dict[str, OnAck] = {}

    @classmethod
    async def open(cls, bridge: Bridge) -> "PublishAcks":
        """The answers of a bridge, for as long as that lives; BrokerUnavailable."""
        root = f"{REPUBLISH_PREFIX}.{new_id()}"
        route = await bridge.acquire_subscription(f"{root}.*", cls)
        route._root = root  # noqa: SLF001 - its own
        await bridge.confirm_subscription(route)
        return route

    def register(self, on_ack: OnAck) -> str:
        """The reply subject for a message; `on_ack` gets its `seq`, or None once it was given up."""
        reply = f"{self._root}.{next(self._numbers)}"
        self._callbacks[reply] = on_ack
        return reply

    @contextmanager
    def registered(self, on_ack: OnAck) -> Iterator[str]:
        """As `expect`, for whoever waits within."""
        reply = self.register(on_ack)
        try:
            yield reply
        finally:
            self.cancel(reply)

    def cancel(self, reply: str) -> bool:
        """Expect no answer any more; whether one was expected."""
        return self._callbacks.pop(reply, None) is not None

    def start_timeout(self, reply: str) -> None:
        """The broker has the message: if it is kept, that is on_ack within a moment."""
        if reply in self._callbacks:
            asyncio.get_running_loop().call_later(KEPT_WITHIN_S, self._on_timeout, reply)

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:  # noqa: ARG002
        """Tell who published what was kept."""
        try:
            ack = msgspec.json.decode(payload, type=_Ack)
        except msgspec.DecodeError:
            # Whoever hears the message may answer it, too: that is not what is waited for.
            return
        if ack.stream == HISTORY_STREAM and (on_ack := self._callbacks.pop(subject, None)) is not None:
            on_ack(ack.seq)

    def _on_timeout(self, reply: str) -> None:
        on_ack = self._callbacks.pop(reply, None)
        if on_ack is not None:
            on_ack(None)
