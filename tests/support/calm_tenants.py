"""Organizations that exchange numbered messages and measure how long they take: a process of the broker's fuzz."""

import asyncio
import time
from contextlib import suppress
from types import SimpleNamespace

from support.actors import Client
from support.json_process import serve
from support.waiting import eventually

INTERVAL_S = 0.02
# The gateway closes a WebSocket that sends nothing for 90 s.
HEARTBEAT_EVERY = 500
# In every message, so that one that reached somebody else can be recognized.
MARKER = b"calm-water"


class CalmTenant:
    """Exchanges messages over direct NATS and WebSocket. `clients`: a sender, a receiver, one with a WebSocket."""

    @classmethod
    async def start(cls, tenant_id, clients):
        self = cls()
        self.tenant_id = tenant_id
        self.received, self.foreign, self.losses, self.latencies, self.sent = [], [], [], [], 0
        tenant = SimpleNamespace(id=tenant_id)
        sender, receiver, socket = [Client(tenant, each) for each in clients]
        self.sender, self.receiver = await self._connect(sender), await self._connect(receiver)
        self.socket = await socket.connect_websocket()
        await self.receiver.subscribe(">", cb=self._on_message)
        await self.receiver.flush()
        await self.socket.subscribe(subject="calm")
        self._task = asyncio.create_task(self._run())
        return self

    async def _connect(self, client):
        async def on_error(error):
            self.losses.append(repr(error))

        async def on_lost():
            self.losses.append(f"lost after {self.sent} messages: {nc.last_error!r}")

        nc = await client.connect_nats(disconnected_cb=on_lost, error_cb=on_error)
        return nc

    async def _on_message(self, message):
        if message.subject == f"{self.tenant_id}.calm" and message.data.startswith(b'"' + MARKER):
            number, sent_at = message.data.strip(b'"').split(b" ")[1:]
            self.received.append(int(number))
            self.latencies.append(time.monotonic() - float(sent_at))
        elif self.tenant_id not in message.subject and not message.subject.startswith(("_INBOX", "$JS.")):
            self.foreign.append(message.subject)

    async def _run(self):
        while True:
            body = b'"%b %d %f"' % (MARKER, self.sent, time.monotonic())
            await self.sender.publish(f"{self.tenant_id}.calm", body)
            self.sent += 1
            if self.sent % HEARTBEAT_EVERY == 0:
                await self.socket.send(type="heartbeat")
            await asyncio.sleep(INTERVAL_S)

    def take_latencies(self):
        """The median and the 99th percentile since the last call, in milliseconds, and the number of messages."""
        latencies, self.latencies = sorted(self.latencies), []
        count = len(latencies)
        return {
            "p50_ms": 1000 * latencies[count // 2],
            "p99_ms": 1000 * latencies[int(count * 0.99)],
            "messages": count,
        }

    async def stop(self):
        """Stop, and say what was sent and what has arrived over each transport."""
        losses = list(self.losses)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.sender.flush()
        expected = list(range(self.sent))

        def over_websocket():
            return [int(frame["data"].split(" ")[1]) for frame in self.socket.pending("message")]

        with suppress(AssertionError):
            await eventually(lambda: self.received == expected and over_websocket() == expected)
        return {
            "sent": self.sent,
            "losses": losses + self.losses[len(losses) :],
            "foreign": self.foreign,
            "complete_over_nats": self.received == expected,
            "complete_over_websocket": over_websocket() == expected,
            "socket_closed": self.socket.closed,
        }


async def main():
    tenants = []

    async def handle(request):
        if "start" in request:
            tenants.extend([await CalmTenant.start(*each) for each in request["start"]])
            return None
        if "stop" in request:
            return [await each.stop() for each in tenants]
        return [each.take_latencies() for each in tenants]

    await serve(handle)


if __name__ == "__main__":
    asyncio.run(main())
