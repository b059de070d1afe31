"""Publish acknowledgements of the history stream: that a message was stored, and its sequence number.

A message is published in the clients' account with a reply subject that is subscribed to in the streams' account only:
no client can acknowledge it there.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

import msgspec

from artcafe_common.broker.subjects import ACK_PREFIX, HISTORY_STREAM
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, GroupFactory
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.errors import BrokerUnavailable

# An election of a stream's leader takes 4 to 5 s.
ACK_TIMEOUT_S = 8.0
# A message with a unique id is stored again after this time, while the stream has no leader, for example.
REPEAT_INTERVAL_S = 1.0


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The stream has the message; `duplicate` if it was stored before, under the same unique id."""

    stream: str
    seq: int
    duplicate: bool = False
    error: msgspec.Raw | None = None


OnAck = Callable[[Ack | None], None]


class PublishAcks(BrokerSubscription):
    """Receives the acknowledgements for one bridge; `register` before publishing."""

    __slots__ = ("_callbacks", "_numbers", "_prefix")

    def __init__(self, signer: MessageSigner, group_type: GroupFactory) -> None:
        super().__init__(signer, group_type)
        self._prefix = ""
        self._numbers = count()
        self._callbacks: dict[str, OnAck] = {}

    @classmethod
    async def open(cls, bridge: Bridge) -> "PublishAcks":
        """Subscribes to acknowledgements until the bridge closes; BrokerUnavailable."""
        prefix = f"{ACK_PREFIX}.{new_id()}"
        acks = await bridge.streams.acquire_confirmed(f"{prefix}.*", cls)
        acks._prefix = prefix  # noqa: SLF001 - a factory of this class
        return acks

    def register(self, on_ack: OnAck) -> str:
        """Returns the reply subject for a message; `on_ack` gets None if it is not stored within the timeout.

        Raises BrokerUnavailable while no acknowledgement could arrive, before anything is published.
        """
        if not self.confirmed:
            raise BrokerUnavailable
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

    def start_timeout(self, reply: str, repeat: Callable[[], None] | None = None) -> bool:
        """The broker has the message: if it stores it, the acknowledgement follows within the timeout.

        Until then, `repeat` is called at intervals; it may raise CommandError. Returns False if it is acknowledged.
        """
        if reply not in self._callbacks:
            return False
        loop = asyncio.get_running_loop()
        loop.call_later(ACK_TIMEOUT_S, self._on_timeout, reply)
        if repeat is not None:
            loop.call_later(REPEAT_INTERVAL_S, self._repeat, reply, repeat)
        return True

    def _repeat(self, reply: str, repeat: Callable[[], None]) -> None:
        if reply not in self._callbacks:
            return
        with suppress(CommandError):
            repeat()
        asyncio.get_running_loop().call_later(REPEAT_INTERVAL_S, self._repeat, reply, repeat)

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:  # noqa: ARG002
        """Calls the callback of the acknowledged message."""
        try:
            ack = msgspec.json.decode(payload, type=Ack)
        except msgspec.DecodeError:
            return
        if ack.stream == HISTORY_STREAM and (on_ack := self._callbacks.pop(subject, None)) is not None:
            on_ack(ack if ack.error is None else None)

    def _on_timeout(self, reply: str) -> None:
        on_ack = self._callbacks.pop(reply, None)
        if on_ack is not None:
            on_ack(None)
