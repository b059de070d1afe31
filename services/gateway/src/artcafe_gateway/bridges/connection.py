"""A NATS client with a short path for messages.

nats-py 2.16 allocates an object, a queue entry and a task wake-up per received message, and awaits
several times per publish. A bridge needs none of these: it passes bytes on in order. Like the client that
it extends, this module uses private parts of nats-py, which is why its version is pinned.

`BrokerStream` reads and writes the socket. Where there is none, because the connection to the broker is a WebSocket,
nats-py's reader and writer do.
"""

import asyncio
import secrets
from typing import Any

import nats.errors

from artcafe_common.broker.client import HardenedNats
from artcafe_gateway.bridges.broker_stream import BrokerStream
from artcafe_gateway.bridges.counters import ConnectionCounters
from artcafe_gateway.bridges.replies import ReplyInbox
from artcafe_gateway.delivery.fanout import BrokerSubscription
from artcafe_gateway.delivery.read_time import ReadTime
from artcafe_gateway.wire.primitives import ReceiveQueue

MAX_PENDING_BYTES = 8 * 1024 * 1024
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
        self.subscriptions: dict[bytes, BrokerSubscription] = {}
        self._stream: BrokerStream | None = None
        self._is_write_scheduled = False

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
        self.subscriptions[b"%d" % subscription.sid] = subscription
        address = f"{subject} {queue}" if queue else subject
        await self._send_command(b"SUB %b %d\r\n" % (address.encode(), subscription.sid))
        await self._flush_pending()

    async def unsubscribe(self, subscription: BrokerSubscription) -> None:
        """Unsubscribes `subscription`, which still receives what the broker has sent before; call `detach` after a flush."""
        if self.subscriptions.get(b"%d" % subscription.sid) is subscription:
            await self._send_unsubscribe(subscription.sid)
            await self._flush_pending()

    async def detach(self, subscription: BrokerSubscription) -> None:
        """Unsubscribes `subscription`."""
        if self.subscriptions.pop(b"%d" % subscription.sid, None) is subscription:
            await self._send_unsubscribe(subscription.sid)
            await self._flush_pending()

    def enqueue(self, command: bytes, size: int) -> None:
        """Queues a command that publishes headers and a payload of `size` bytes together.

        MaxPayloadError, OutboundBufferLimitError when too many bytes are queued.
        """
        if size > self._max_payload:
            raise nats.errors.MaxPayloadError
        if self._pending_data_size > MAX_PENDING_BYTES:
            raise nats.errors.OutboundBufferLimitError
        self._pending.append(command)
        self._pending_data_size += len(command)
        if not self._is_write_scheduled:
            self._schedule_write()

    # -- the socket ----------------------------------------------------------------------------

    async def _read_loop(self) -> None:
        writer = getattr(self._transport, "_io_writer", None)
        if writer is None:
            await super()._read_loop()
            return
        self._stream = BrokerStream(self, writer.transport)
        # What nats-py's reader has received, and it receives no more.
        reader = self._transport._io_reader  # type: ignore[union-attr]
        reader.feed_eof()
        received = await reader.read()
        self._schedule_write()
        await self._stream.run(received)

    async def _end_connection(self, *, write_pending: bool) -> None:
        self._stream = None
        await super()._end_connection(write_pending=write_pending)

    async def _flush_pending(self, force_flush: bool = False) -> None:  # noqa: FBT001, FBT002 - nats-py's signature
        if self._stream is None:
            await super()._flush_pending(force_flush)
            return
        self._schedule_write()
        if force_flush and self._transport is not None:
            self.write_pending()
            await self._transport.drain()  # type: ignore[no-untyped-call]

    def _schedule_write(self) -> None:
        if self._stream is not None:
            if not self._is_write_scheduled:
                self._is_write_scheduled = True
                asyncio.get_running_loop().call_soon(self.write_pending)
        elif self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def write_pending(self) -> None:
        """Writes what was published in this turn of the event loop, unless the socket accepts nothing now."""
        self._is_write_scheduled = False
        if self._pending and self._stream is not None and self._stream.write(b"".join(self._pending)):
            self._pending, self._pending_data_size = [], 0

    # -- what the broker sends -----------------------------------------------------------------

    def is_subscribed_otherwise(self, sid: bytes) -> bool:
        """Whether nats-py has a subscription of this id."""
        return bool(self._subs) and int(sid) in self._subs

    def drop(self, error: Exception) -> None:
        """Counts a message that cannot be delivered."""
        self.drops.record(error)

    async def process_other(self, data: bytes) -> None:
        """Processes a line, or a message of a subscription of nats-py; ProtocolError."""
        await self._ps.parse(data)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        subscription = self.subscriptions.get(b"%d" % sid)
        if subscription is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            subscription.receive(subject, reply, data, headers or b"", ReadTime())
        except Exception as error:  # noqa: BLE001 - costs this message only
            self.drops.record(error)
