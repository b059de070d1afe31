"""A broker within one process, and the connections of bridges to it."""

import asyncio
import itertools

import nats.errors

from artcafe_common.broker.subjects import matches
from artcafe_common.contracts.identity.accounts import BridgeCredentials
from artcafe_gateway.bridges.connection import MAX_PENDING_BYTES
from artcafe_gateway.bridges.counters import ConnectionCounters
from artcafe_gateway.bridges.replies import ReplyInbox

BRIDGE_CREDENTIALS = BridgeCredentials(account="A", jwt="jwt")


class FakeBroker:
    """Delivers what its connections flush, and counts it as the broker's monitoring does.

    `responders` maps a subject to a function of the payload that returns (data, header block) pairs.
    `down` refuses connections; while `paused`, flushes wait.
    """

    def __init__(self, *, max_payload=1024):
        self.max_payload = max_payload
        self.connections = []
        self.received = []
        self.responders = {}
        self.down = False
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._cids = itertools.count(1)
        self._turns = itertools.count()

    def create_connection(self):
        """Replaces `BridgeConnection` in the connector."""
        return FakeConnection(self, next(self._cids))

    @property
    def connection(self):
        """The open connection into the clients' account; the one into the streams' account comes after it."""
        return self.open_connections[0]

    @property
    def open_connections(self):
        return [each for each in self.connections if each.is_connected]

    @property
    def subjects(self):
        """The subscribed subjects of all open connections, without inboxes."""
        subjects = [subject for each in self.open_connections for subject, *_ in each.attached.values()]
        return sorted(subject for subject in subjects if not subject.startswith("_INBOX."))

    def pause(self):
        self._resumed.clear()

    def resume(self):
        self._resumed.set()

    async def wait_until_resumed(self, connection):
        """Returns when the broker answers the connection, or the connection is closed."""
        waits = [asyncio.create_task(each.wait()) for each in (self._resumed, connection.closed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()

    def route(self, subject, payload, headers=b"", reply=""):
        """Deliver a message to every subscription that matches, and to one member of each queue group in turn."""
        self.received.append((subject, payload))
        self.deliver(subject, reply, payload, headers)
        if subject in self.responders:
            for data, reply_headers in self.responders[subject](payload):
                self.deliver(reply, "", data, reply_headers or b"")
        elif reply.startswith("_INBOX."):
            self.deliver(reply, "", b"", b"NATS/1.0 503\r\nNats-Subject: %b\r\n\r\n" % subject.encode())

    def deliver(self, subject, reply, payload, headers):
        members = {}
        for connection in self.open_connections:
            for pattern, subscription, queue in tuple(connection.attached.values()):
                if not matches(pattern, subject):
                    continue
                if queue:
                    members.setdefault(queue, []).append(subscription)
                else:
                    subscription.on_message(subject, reply, payload, headers)
        for group in members.values():
            group[next(self._turns) % len(group)].on_message(subject, reply, payload, headers)

    async def restart(self):
        """Break every connection."""
        for connection in self.open_connections:
            await connection.drop()


class FakeConnection:
    """As `BridgeConnection`. Commands wait in `pending` until a flush, as in a real write buffer."""

    url = "nats://fake"

    def __init__(self, broker, cid):
        self.broker = broker
        self.client_id = cid
        self.server_id = "server"
        self.counters = ConnectionCounters()
        self.is_connected = False
        self.closed = asyncio.Event()
        self.attached = {}
        self.replies = ReplyInbox(self)
        self.pending = []
        self.pending_bytes = 0
        # As CONNZ reports them.
        self.broker_messages = self.broker_bytes = 0
        self._sids = itertools.count(1)
        self._numbers = itertools.count(1)
        self._on_closed = None

    async def connect(self, *, closed_cb, **_options):
        await asyncio.sleep(0)
        if self.broker.down:
            raise nats.errors.NoServersError
        self._on_closed = closed_cb
        self.is_connected = True
        self.broker.connections.append(self)

    async def close(self):
        if self.is_connected:
            self.process()
            await self._end()

    async def drop(self, *, received=0):
        """Break the connection after the broker has received this many of the pending commands."""
        self.process(received)
        await self._end()

    async def _end(self):
        self.is_connected = False
        self.pending.clear()
        self.attached.clear()
        self.closed.set()
        await self._on_closed()

    def process(self, limit=None):
        """The broker receives pending commands."""
        count = len(self.pending) if limit is None else limit
        commands, self.pending = self.pending[:count], self.pending[count:]
        for command in commands:
            command()
        self.pending_bytes = 0

    def _require_open(self):
        if not self.is_connected:
            raise nats.errors.ConnectionClosedError

    async def flush(self, _timeout=10):
        self._require_open()
        await self.broker.wait_until_resumed(self)
        self._require_open()
        self.process()
        await asyncio.sleep(0)

    async def attach(self, subject, subscription, queue=""):
        self._require_open()
        subscription.sid = next(self._sids)
        entry = (subscription.sid, (subject, subscription, queue))
        self.pending.append(lambda: self.attached.update([entry]))

    async def unsubscribe(self, subscription):
        await self.detach(subscription)

    async def detach(self, subscription):
        self._require_open()
        sid = subscription.sid
        self.pending.append(lambda: self.attached.pop(sid, None))

    def enqueue(self, command, size):
        head, _, body = command.partition(b"\r\n")
        _, subject, *reply, header_size, total = head.decode().split(" ")
        headers, payload = body[: int(header_size)], body[int(header_size) : -2]
        assert int(total) == size == len(headers) + len(payload)
        self._publish(subject, headers, payload, *reply)

    def _publish(self, subject, headers, payload, reply=""):
        if len(headers) + len(payload) > self.broker.max_payload:
            raise nats.errors.MaxPayloadError
        if self.pending_bytes > MAX_PENDING_BYTES:
            raise nats.errors.OutboundBufferLimitError
        self._require_open()
        self.pending_bytes += len(payload)
        self.pending.append(lambda: self._receive(subject, headers, payload, reply))
        if reply.startswith("_INBOX."):
            # Nothing else flushes a request.
            asyncio.get_running_loop().call_soon(self.process)

    async def publish(self, subject, payload, reply=""):
        self._require_open()
        self.process()
        self._receive(subject, b"", payload, reply)

    def _receive(self, subject, headers, payload, reply):
        self.broker_messages += 1
        self.broker_bytes += len(payload) + len(headers)
        self.broker.route(subject, payload, headers, reply)

    def new_inbox(self):
        return f"_INBOX.{self.client_id}.{next(self._numbers)}"
