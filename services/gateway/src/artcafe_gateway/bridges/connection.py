"""A NATS client with a short path for messages.

nats-py 2.16 allocates an object, a queue entry and a task wake-up per received message, and awaits
several times per publish. A bridge needs none of these: it passes bytes on in order. Like the client that
it extends, this module uses private parts of nats-py, which is why its version is pinned.
"""

import asyncio
import secrets
import time
from typing import Any

import nats.errors

from artcafe_common.broker.client import HardenedNats
from artcafe_gateway.bridges.counters import ConnectionCounters
from artcafe_gateway.bridges.replies import ReplyInbox
from artcafe_gateway.delivery.fanout import BrokerSubscription
from artcafe_gateway.wire.primitives import ReceiveQueue

MAX_PENDING_BYTES = 8 * 1024 * 1024
# How long the messages of one connection may occupy the event loop before other tasks run.
MAX_TURN_S = 0.001
INBOX_BYTES = 11


class _FlushQueue(ReceiveQueue):
    """What wakes nats-py's flusher."""

    __slots__ = ()

    async def put(self, item: Any) -> None:
        self.put_nowait(item)

    def get_nowait(self) -> Any:
        return self._items.pop(0)


class BridgeConnection(HardenedNats):
    """One NATS connection of a bridge; it calls broker subscriptions directly, without a queue.

    A gateway has thousands of them, and each is one for its whole life: it connects once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counters = ConnectionCounters()
        self.replies = ReplyInbox(self)
        self._broker_subscriptions: dict[int, BrokerSubscription] = {}
        self._turn_started_at = self._last_message_at = 0.0

    @property
    def url(self) -> str:
        """The address of the connected server, as it was given."""
        return self.connected_url.geturl() if self.connected_url is not None else ""

    @property
    def server_id(self) -> str:
        """The id of the connected server."""
        return str(self._server_info["server_id"])

    async def end_unless_answered(self, within_s: float) -> bool:
        """Whether the server answers in time; if not, the connection ends as one that was lost."""
        try:
            await self.flush(within_s)
        except nats.errors.FlushTimeoutError:
            await self._process_op_err(nats.errors.StaleConnectionError())
            return False
        except nats.errors.Error:
            return False
        return True

    async def connect(self, servers: str | list[str], **options: Any) -> None:  # type: ignore[override]
        """As the client's, but it never reconnects."""
        await super().connect(servers, **{**options, "allow_reconnect": False})
        self._release_memory()

    def _release_memory(self) -> None:
        """Free what only connecting needs: a third of the connection's memory."""
        self._server_info = {"server_id": self._server_info["server_id"]}
        self._user_credentials = self._user_jwt_cb = self._signature_cb = None
        # A generator of inboxes' names: see `new_inbox`.
        self._nuid = None  # type: ignore[assignment]
        # The flusher waits at nats-py's queue until the next item, and then at this one.
        waiting, self._flush_queue = self._flush_queue, _FlushQueue()  # type: ignore[assignment]
        if waiting is not None:
            waiting.put_nowait(asyncio.get_running_loop().create_future())

    def new_inbox(self) -> str:
        """A subject that nobody else subscribes to."""
        return f"{self._inbox_prefix.decode()}.{secrets.token_hex(INBOX_BYTES)}"

    async def attach(self, subject: str, subscription: BrokerSubscription, queue: str = "") -> None:
        """Subscribes, as a member of the group `queue` if it has a name, and passes every message to `subscription`."""
        self._sid += 1
        subscription.sid = self._sid
        self._broker_subscriptions[subscription.sid] = subscription
        address = f"{subject} {queue}" if queue else subject
        await self._send_command(b"SUB %b %d\r\n" % (address.encode(), subscription.sid))
        await self._flush_pending()

    async def unsubscribe(self, subscription: BrokerSubscription) -> None:
        """Unsubscribes `subscription`, which still receives what the broker has sent before; call `detach` after a flush."""
        if self._broker_subscriptions.get(subscription.sid) is subscription:
            await self._send_unsubscribe(subscription.sid)
            await self._flush_pending()

    async def detach(self, subscription: BrokerSubscription) -> None:
        """Unsubscribes `subscription`."""
        if self._broker_subscriptions.pop(subscription.sid, None) is subscription:
            await self._send_unsubscribe(subscription.sid)
            await self._flush_pending()

    def publish_nowait(self, subject: str, headers: bytes, payload: bytes, reply: str = "") -> None:
        """Queues a message; MaxPayloadError, OutboundBufferLimitError when too many bytes are queued."""
        size = len(headers) + len(payload)
        if size > self._max_payload:
            raise nats.errors.MaxPayloadError
        if self._pending_data_size > MAX_PENDING_BYTES:
            raise nats.errors.OutboundBufferLimitError
        address = f"{subject} {reply}" if reply else subject
        command = b"HPUB %b %d %d\r\n%b%b\r\n" % (address.encode(), len(headers), size, headers, payload)
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        subscription = self._broker_subscriptions.get(sid)
        if subscription is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            subscription.on_message(subject.decode(), reply.decode(), data, headers or b"")
        except Exception as error:  # noqa: BLE001 - costs this message only
            self.drops.record(error)
        now = time.monotonic()
        if now - self._last_message_at > MAX_TURN_S:
            # The event loop ran other tasks between the messages: a new turn.
            self._turn_started_at = now
        elif now - self._turn_started_at > MAX_TURN_S:
            await asyncio.sleep(0)
            now = self._turn_started_at = time.monotonic()
        self._last_message_at = now
