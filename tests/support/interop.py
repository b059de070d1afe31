"""One interface over everything that speaks to the platform: both SDKs, bare libraries, REST and server-sent events.

A peer publishes, subscribes, asks and answers as far as its kind can. `subscribe` returns an inbox, whose `take` returns
the next messages.
"""

import asyncio
import base64
import itertools
import json
from typing import Any, NamedTuple

import artcafe_client
from support.cleanup import close_after_test
from support.client_tokens import connect_rest
from support.sse import follow
from support.waiting import eventually

WITHIN_S = 15


class Target(NamedTuple):
    """A subject, or a channel by its id."""

    subject: str | None = None
    channel: str | None = None

    @property
    def fields(self):
        return {"channel": self.channel} if self.channel else {"subject": self.subject}


class Received(NamedTuple):
    data: Any
    headers: dict
    seq: int | None


def as_json(value):
    """What a JSON-only peer sends in place of bytes."""
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


class SdkPeer:
    """The Python SDK, over one of its transports."""

    def __init__(self, client):
        self.client = client
        self.kind = f"python-{client.transport}"

    @classmethod
    async def open(cls, record, transport):
        client = artcafe_client.connect(
            connection=record.connection, seed=record.seed, client_id=record.id, transport=transport
        )
        close_after_test(client, client.close)
        return cls(await client.open())

    async def publish(self, target, data, headers=None):
        if target.channel:
            return (await self.client.channel(target.channel).publish(data, headers=headers)).seq
        return (await self.client.publish(target.subject, data, headers=headers)).seq

    async def subscribe(self, target, queue=None, after=None):
        if target.channel:
            started = self.client.channel(target.channel).subscribe(queue=queue, resume_from=after)
        else:
            started = self.client.subscribe(target.subject, queue=queue)
        return _SdkInbox(await started)

    async def respond(self, subject):
        async def answer(message):
            return {"by": self.kind, "q": message.data}

        self.client.respond(subject)(answer)
        # A later subscription is confirmed later.
        await (await self.client.subscribe(f"{subject}.after")).unsubscribe()

    async def request(self, subject, data):
        return (await self.client.request(subject, data)).data


class _SdkInbox:
    def __init__(self, subscription):
        self._subscription = subscription

    async def pending(self):
        return self._subscription.pending

    async def take(self, count):
        messages = [await self._subscription.next(WITHIN_S) for _ in range(count)]
        return [Received(m.data, dict(m.headers), m.seq) for m in messages]


class NodePeer:
    """The TypeScript SDK over one of its transports, in a Node.js process."""

    _keys = itertools.count()

    def __init__(self, process, kind):
        self._process = process
        self.kind = kind

    @classmethod
    async def open(cls, record, process, transport, **options):
        peer = cls(process, options.pop("name", f"typescript-{transport}"))
        connection = record.connection
        where = (
            {"servers": connection["nats_url"], "tenantId": record.tenant.id}
            if transport == "nats"
            else {"url": connection["websocket_url"]}
        )
        identity = {"name": peer.kind, "clientId": record.id, "seed": record.seed}
        await peer.call("connect", **{**identity, **where, **options})
        return peer

    async def call(self, operation, **fields):
        answer = await asyncio.wait_for(self._process.call(operation=operation, **fields), WITHIN_S)
        assert "error" not in answer, answer
        return answer["result"]

    async def publish(self, target, data, headers=None):
        body = {"base64": as_json(data)["base64"]} if isinstance(data, bytes) else {"data": data}
        return await self.call("publish", name=self.kind, headers=headers, **target.fields, **body)

    async def subscribe(self, target, queue=None, after=None):
        key = f"s{next(self._keys)}"
        place = {} if after is None else {"after": after}
        await self.call("subscribe", name=self.kind, key=key, queue=queue, **target.fields, **place)
        return _NodeInbox(self, key)

    async def respond(self, subject):
        await self.call("respond", name=self.kind, subject=subject)

    async def request(self, subject, data):
        return await self.call("request", name=self.kind, subject=subject, data=data)


class _NodeInbox:
    def __init__(self, peer, key):
        self._peer = peer
        self._key = key

    async def pending(self):
        return await self._peer.call("pending", key=self._key)

    async def take(self, count):
        taken = await self._peer.call("take", key=self._key, count=count)
        return [Received(each["data"], each["headers"], each["seq"]) for each in taken]


class NatsPeer:
    """nats-py alone; it publishes bytes as they are."""

    kind = "nats-py"

    def __init__(self, nc, tenant_id):
        self._nc = nc
        self._tenant_id = tenant_id

    @classmethod
    async def open(cls, record):
        return cls(await record.connect_nats(), record.tenant.id)

    def _subject(self, target):
        if target.channel:
            return f"tenant.{self._tenant_id}.channel.{target.channel}"
        return f"{self._tenant_id}.{target.subject}"

    async def publish(self, target, data, headers=None):
        payload = data if isinstance(data, bytes) else json.dumps(data).encode()
        await self._nc.publish(self._subject(target), payload, headers=headers)
        await self._nc.flush()

    async def subscribe(self, target, queue=None):
        subscription = await self._nc.subscribe(self._subject(target), queue=queue or "")
        await self._nc.flush()
        return _NatsInbox(subscription)

    async def respond(self, subject):
        async def answer(message):
            await message.respond(json.dumps({"by": self.kind, "q": json.loads(message.data)}).encode())

        await self._nc.subscribe(self._subject(Target(subject)), cb=answer)
        await self._nc.flush()

    async def request(self, subject, data):
        reply = await self._nc.request(self._subject(Target(subject)), json.dumps(data).encode(), WITHIN_S)
        return json.loads(reply.data)


class _NatsInbox:
    def __init__(self, subscription):
        self._subscription = subscription

    async def pending(self):
        return self._subscription.pending_msgs

    async def take(self, count):
        messages = [await self._subscription.next_msg(WITHIN_S) for _ in range(count)]
        return [Received(_decode(m.data), _publishers(m.headers), None) for m in messages]


def _decode(payload):
    try:
        return json.loads(payload)
    except ValueError:
        return as_json(payload)


def _publishers(headers):
    platform = ("nats-", "artcafe-")
    return {k: v for k, v in (headers or {}).items() if not k.lower().startswith(platform)}


class SocketPeer:
    """A bare WebSocket; each subscription has one of its own."""

    kind = "websockets"

    def __init__(self, record, socket):
        self._record = record
        self._socket = socket
        self._ids = itertools.count(1)

    @classmethod
    async def open(cls, record):
        return cls(record, await record.connect_websocket())

    async def publish(self, target, data, headers=None):
        number = next(self._ids)
        optional = {"headers": headers} if headers else {}
        await self._socket.send(type="publish", data=as_json(data), id=number, **target.fields, **optional)
        return (await self._socket.receive("published", id=number, within=WITHIN_S)).get("seq")

    async def subscribe(self, target, queue=None, after=None):
        socket = await self._record.connect_websocket()
        optional = {"queue": queue} if queue else {}
        if after is not None:
            optional["since"] = after + 1
        await socket.subscribe(**target.fields, **optional)
        return _SocketInbox(socket)

    async def respond(self, subject):
        socket = await self._record.connect_websocket()
        await socket.subscribe(subject=subject)

        async def answer():
            while True:
                message = await socket.receive("message", within=3600)
                reply = {"by": self.kind, "q": message["data"]}
                await socket.send(type="publish", subject=message["reply"], data=reply)

        task = asyncio.create_task(answer())

        async def stop():
            task.cancel()

        close_after_test(task, stop)

    async def request(self, subject, data):
        number = next(self._ids)
        await self._socket.send(type="request", subject=subject, data=data, id=number)
        return (await self._socket.receive("reply", id=number, within=WITHIN_S))["data"]


class _SocketInbox:
    def __init__(self, socket):
        self._socket = socket

    async def pending(self):
        return len(self._socket.pending("message"))

    async def take(self, count):
        messages = [await self._socket.receive("message", within=WITHIN_S) for _ in range(count)]
        return [Received(m["data"], m.get("headers", {}), m.get("seq")) for m in messages]


class RestPeer:
    """REST with a token of the client: it publishes to channels, and reads their history."""

    kind = "rest"

    def __init__(self, http):
        self._http = http

    @classmethod
    async def open(cls, record):
        return cls(await connect_rest(record))

    async def publish(self, target, data, headers=None):
        body = {"data": as_json(data), **({"headers": headers} if headers else {})}
        response = await self._http.post(f"/channels/{target.channel}/messages", json=body)
        assert response.status_code == 202, response.text
        return response.json()["seq"]

    async def subscribe(self, target, after):
        return _HistoryInbox(self._http, target.channel, after)


class _HistoryInbox:
    def __init__(self, http, channel, after):
        self._http = http
        self._channel = channel
        self._after = after

    async def take(self, count):
        response = await self._http.get(
            f"/channels/{self._channel}/messages", params={"since": self._after + 1, "limit": count}
        )
        assert response.status_code == 200, response.text
        messages = response.json()["messages"]
        return [Received(m["data"], m.get("headers") or {}, m["seq"]) for m in messages]


class EventsPeer:
    """Server-sent events of a channel."""

    kind = "sse"

    def __init__(self, http):
        self._http = http

    @classmethod
    async def open(cls, record):
        return cls(await connect_rest(record))

    async def subscribe(self, target, after=None):
        return _EventsInbox(await follow(self._http, {"channel_id": target.channel}, last_id=after))


class _EventsInbox:
    def __init__(self, stream):
        self._stream = stream
        self._taken = 0

    async def take(self, count):
        first, last = self._taken, self._taken + count
        messages = await eventually(lambda: self._complete(last), within=WITHIN_S)
        self._taken = last
        return [Received(m["data"], m.get("headers") or {}, m.get("seq")) for m in messages[first:last]]

    def _complete(self, count):
        messages = self._stream.named("message")
        return messages if len(messages) >= count else None
