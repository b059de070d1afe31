"""Publish acknowledgements of the history stream: that a message was stored, and its sequence number."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import msgspec

from artcafe_common.broker.subjects import HISTORY_STREAM, REPUBLISH_PREFIX
from artcafe_common.clock import new_id
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup

ACK_TIMEOUT_S = 1.0
OnAck = Callable[[int | None], None]


class _Ack(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    seq: int


class PublishAcks(BrokerSubscription):
    """Receives the acknowledgements for one bridge; `register` before publishing."""

    __slots__ = ("_callbacks", "_numbers", "_prefix")

    def __init__(self, tenant_id: str, group_type: type[RenderGroup]) -> None:
        super().__init__(tenant_id, group_type)
        self._prefix = ""
        self._numbers = count()
        self._callbacks: dict[str, OnAck] = {}

    @classmethod
    async def open(cls, bridge: Bridge) -> "PublishAcks":
        """Subscribes to acknowledgements until the bridge closes; BrokerUnavailable."""
        prefix = f"{REPUBLISH_PREFIX}.{new_id()}"
        acks = await bridge.acquire_subscription(f"{prefix}.*", cls)
        acks._prefix = prefix  # noqa: SLF001 - a factory of this class
        await bridge.confirm_subscription(acks)
        return acks

    def register(self, on_ack: OnAck) -> str:
        """Returns the reply subject for a message; `on_ack` gets its `seq`, or None after the timeout."""
        reply = f"{self._prefix}.{next(self._numbers)}"
        self._callbacks[reply] = on_ack
        return reply

    @contextmanager
    def registered(self, on_ack: OnAck) -> Iterator[str]:
        """As `register`, until the context is left."""
        reply = self.register(on_ack)
        try:
            yield reply
        finally:
            self.cancel(reply)

    def cancel(self, reply: str) -> bool:
        """Drops a callback; False when it has been called already."""
        return self._callbacks.pop(reply, None) is not None

    def start_timeout(self, reply: str) -> None:
        """The broker has the message: if it stores it, the acknowledgement follows within the timeout."""
        if reply in self._callbacks:
            asyncio.get_running_loop().call_later(ACK_TIMEOUT_S, self._on_timeout, reply)

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:  # noqa: ARG002
        """Calls the callback of the acknowledged message."""
        try:
            ack = msgspec.json.decode(payload, type=_Ack)
        except msgspec.DecodeError:
            # Any subscriber of the message can reply to it.
            return
        if ack.stream == HISTORY_STREAM and (on_ack := self._callbacks.pop(subject, None)) is not None:
            on_ack(ack.seq)

    def _on_timeout(self, reply: str) -> None:
        on_ack = self._callbacks.pop(reply, None)
        if on_ack is not None:
            on_ack(None)
