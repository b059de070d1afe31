"""A NATS client with shortcuts on the path of messages.

nats-py 2.16 gives every message an object, a queue and a task to wake, and every publish a few
awaits. A bridge needs none of that: it hands bytes on, in order, at once. This is the one place
that reaches into nats-py for it, and the reason why it is pinned.
"""

import asyncio
import time

import nats.errors
from nats.aio.client import Client as Nats

from artcafe_gateway.delivery.fanout import BrokerSubscription

MAX_PENDING = 8 * 1024 * 1024
# How long one connection's messages may keep the event loop before the others get their turn.
TURN_S = 0.001


def encode_headers(headers: dict[str, str]) -> bytes:
    """Headers as they go over the wire."""
    lines = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in headers.items())
    return b"NATS/1.0\r\n%b\r\n" % lines


class BridgeConnection(Nats):
    """One connection of a bridge; messages of its routes never wait in a queue."""

    def __init__(self) -> None:
        super().__init__()
        self._broker_subscriptions: dict[int, BrokerSubscription] = {}
        self._turn_started_at = self._last_message_at = 0.0

    @property
    def server_id(self) -> str:
        """The id of the server at the other end."""
        return str(self._server_info["server_id"])

    async def attach(self, subject: str, subscription: BrokerSubscription) -> None:
        """Subscribe, and hand every message to `subscription`."""
        self._sid += 1
        subscription.sid = self._sid
        self._broker_subscriptions[subscription.sid] = subscription
        await self._send_command(b"SUB %b %d\r\n" % (subject.encode(), subscription.sid))
        await self._flush_pending()

    async def detach(self, subscription: BrokerSubscription) -> None:
        """End the subscription of a subscription."""
        if self._broker_subscriptions.pop(subscription.sid, None) is subscription:
            await self._send_unsubscribe(subscription.sid)
            await self._flush_pending()

    def publish_nowait(self, subject: str, headers: bytes, payload: bytes, reply: str = "") -> None:
        """Queue a message; MaxPayloadError or OutboundBufferLimitError when the broker cannot take it now."""
        size = len(headers) + len(payload)
        if size > self._max_payload:
            raise nats.errors.MaxPayloadError
        if self._pending_data_size > MAX_PENDING:
            raise nats.errors.OutboundBufferLimitError
        where = f"{subject} {reply}" if reply else subject
        command = b"HPUB %b %d %d\r\n%b%b\r\n" % (where.encode(), len(headers), size, headers, payload)
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        subscription = self._broker_subscriptions.get(sid)
        if subscription is None:
            await super()._process_msg(sid, subject, reply, data, headers)  # type: ignore[arg-type]
            return
        subscription.on_message(subject.decode(), reply.decode(), bytes(data), bytes(headers or b""))
        now = time.monotonic()
        if now - self._last_message_at > TURN_S:
            self._turn_started_at = now  # nothing came for a while: another turn
        elif now - self._turn_started_at > TURN_S:
            await asyncio.sleep(0)
            now = self._turn_started_at = time.monotonic()
        self._last_message_at = now
