"""WebSocket clients of the gateway and of nats-server, reduced to what exact counting needs."""

import asyncio
import base64
import json
from functools import cache

from picows import WSListener, WSMsgType, ws_connect

from artcafe_common.broker.nkeys import KeyPair
from bench.centrifugo import create_token
from bench.payload import SIZE, MarkCounter, parse_messages

REPLY_TIMEOUT_S = 20
ABNORMAL_CLOSURE = 1006
READ_BUFFER = 64 * 1024
key_pair = cache(KeyPair)


class ConnectionEnded(Exception):
    """The connection ended before the expected reply."""


class Peer(WSListener):
    """An authenticated WebSocket that counts messages."""

    headers = None

    def __init__(self, agent):
        self.agent = agent
        self.transport = None
        self.code = None
        self.received = 0
        self.goal = 0
        self.on_goal = None  # called once, when `received` reaches `goal`
        self.on_data = None  # called with the received bytes, if set
        self._framing = None
        self.marks = MarkCounter()
        self.writable = asyncio.Event()
        self.writable.set()
        self._replies = asyncio.Queue()

    def on_ws_connected(self, transport):
        self.transport = transport

    def on_ws_disconnected(self, _transport):
        self.code = self.code or ABNORMAL_CLOSURE
        self._replies.put_nowait(None)
        self.writable.set()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def skip_framing(self):
        """From now on count marks in the raw stream, without parsing frames."""
        raw = self.transport.underlying_transport
        self._framing = raw.get_protocol()
        raw.set_protocol(MarkProtocol(self))

    def count(self, messages):
        before = self.received
        self.received = before + messages
        if before < self.goal <= self.received:
            self.on_goal()

    def _record_close(self, frame):
        self.code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big") or 1005

    async def reply(self, matches):
        """The next reply that satisfies `matches`; raises ConnectionEnded and TimeoutError."""
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            while True:
                reply = await self._replies.get()
                if reply is None:
                    raise ConnectionEnded(f"closed with {self.code}")
                if matches(reply):
                    return reply

    def unread_replies(self):
        while not self._replies.empty():
            reply = self._replies.get_nowait()
            if reply is not None:
                yield reply

    async def close(self):
        if self._framing is not None:
            if self.code:
                return
            self.transport.underlying_transport.set_protocol(self._framing)
        self.transport.disconnect()
        await self.transport.wait_disconnected()


class MarkProtocol(asyncio.BufferedProtocol):
    """Counts marks in the raw stream: the same small amount of work for every protocol.

    It answers no ping, so a connection survives it for some seconds only.
    """

    _buffer = bytearray(256 * 1024)

    def __init__(self, peer):
        self._peer = peer
        self._marks = MarkCounter()

    def get_buffer(self, _sizehint):
        return self._buffer

    def buffer_updated(self, nbytes):
        found = self._marks.count(self._buffer, nbytes)
        if found:
            self._peer.count(found)

    def connection_lost(self, _error):
        self._peer.code = ABNORMAL_CLOSURE


class GatewayPeer(Peer):
    """A client of the gateway: JSON text frames, one message per frame."""

    def on_ws_frame(self, _transport, frame):
        if frame.msg_type is WSMsgType.TEXT and frame.payload_size > SIZE + 32:
            self.count(1)
            if self.on_data is not None:
                self.on_data(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.TEXT:
            self._replies.put_nowait(json.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type is WSMsgType.CLOSE:
            self._record_close(frame)

    async def authenticate(self, _tenant_id):
        nonce = (await self.reply(lambda frame: frame["type"] == "challenge"))["nonce"]
        key = key_pair(self.agent["seed"])
        signature = base64.urlsafe_b64encode(key.sign(nonce.encode())).decode()
        self.send_frame(type="auth", nkey=key.public, signature=signature)
        await self.reply(lambda frame: frame["type"] == "welcome")

    async def subscribe(self, _tenant_id, subject):
        self.send_frame(type="subscribe", subject=subject)
        await self.reply(lambda frame: frame["type"] == "subscribed")

    def send_frame(self, **frame):
        self.transport.send(WSMsgType.TEXT, json.dumps(frame).encode())

    def publish(self, _tenant_id, subject, messages):
        head = b'{"type":"publish","subject":"%b","data":' % subject.encode()
        # One write, as for the native peer, but a frame for each message.
        frames = [masked_frame(head + each + b"}") for each in messages]
        self.transport.underlying_transport.write(b"".join(frames))


class BatchPeer(GatewayPeer):
    """A client of the gateway with the batch subprotocol: several messages in one frame, a line each."""

    headers = [("Sec-WebSocket-Protocol", "artcafe.v1.batch")]

    def on_ws_frame(self, transport, frame):
        data = frame.get_payload_as_bytes() if frame.msg_type is WSMsgType.TEXT else b""
        messages = self.marks.count(data, len(data))
        if not messages:
            super().on_ws_frame(transport, frame)
            return
        self.count(messages)
        if self.on_data is not None:
            self.on_data(data)

    def publish(self, _tenant_id, subject, messages):
        head = b'{"type":"publish","subject":"%b","data":' % subject.encode()
        self.transport.send(WSMsgType.TEXT, b"\n".join(head + each + b"}" for each in messages))


class ResumingPeer(GatewayPeer):
    """A client of the gateway that follows a channel's history from its end."""

    async def subscribe(self, _tenant_id, subject):
        self.send_frame(type="subscribe", subject=subject, last=0)
        await self.reply(lambda frame: frame["type"] == "subscribed")


class NativePeer(Peer):
    """A client of nats-server: the NATS protocol, with any number of messages per frame."""

    def on_ws_frame(self, _transport, frame):
        if frame.msg_type is WSMsgType.CLOSE:
            self._record_close(frame)
            return
        data = frame.get_payload_as_bytes()
        messages = self.marks.count(data, len(data))
        if messages:
            self.count(messages)
            if self.on_data is not None:
                self.on_data(data)
        if b"PING\r\n" in data:
            self.transport.send(WSMsgType.BINARY, b"PONG\r\n")
        if not messages:
            self._replies.put_nowait(data)

    async def authenticate(self, _tenant_id):
        info = await self.reply(lambda data: data.startswith(b"INFO"))
        await self._confirm(build_connect(json.loads(info[5:]), self.agent["seed"]))

    async def subscribe(self, tenant_id, subject):
        await self._confirm(f"SUB {tenant_id}.{subject} 1\r\n".encode())

    async def _confirm(self, line):
        self.transport.send(WSMsgType.BINARY, line + b"PING\r\n")
        reply = await self.reply(lambda data: b"PONG" in data or b"-ERR" in data)
        if b"-ERR" in reply:
            raise ConnectionEnded(reply.decode())

    def publish(self, tenant_id, subject, messages):
        head = b"PUB %b %d\r\n" % (f"{tenant_id}.{subject}".encode(), SIZE)
        self.transport.send(WSMsgType.BINARY, b"".join(head + each + b"\r\n" for each in messages))


class CentrifugoPeer(Peer):
    """A client of Centrifugo: its JSON protocol, with any number of messages per frame, a line each."""

    def on_ws_frame(self, transport, frame):
        if frame.msg_type is WSMsgType.CLOSE:
            self._record_close(frame)
            return
        data = frame.get_payload_as_bytes()
        messages = self.marks.count(data, len(data))
        if messages:
            self.count(messages)
            if self.on_data is not None:
                self.on_data(data)
        elif data == b"{}":
            transport.send(WSMsgType.TEXT, b"{}")
        else:
            for line in data.splitlines():
                if b'"publish":{}' not in line:
                    self._replies.put_nowait(json.loads(line))

    async def authenticate(self, _tenant_id):
        await self._call("connect", token=create_token(self.agent["id"]))

    async def subscribe(self, tenant_id, subject):
        await self._call("subscribe", channel=f"{tenant_id}.{subject}")

    async def _call(self, command, **fields):
        self.transport.send(WSMsgType.TEXT, json.dumps({"id": 1, command: fields}).encode())
        reply = await self.reply(lambda each: each.get("id") == 1)
        if "error" in reply:
            raise ConnectionEnded(str(reply["error"]))

    def publish(self, tenant_id, subject, messages):
        self.publish_to(f"{tenant_id}.{subject}", messages)

    async def flush(self):
        """Returns when Centrifugo has handled what was sent before: commands of a connection are handled in their order."""
        await self._call("subscribe", channel="flush")
        await self._call("unsubscribe", channel="flush")

    def publish_to(self, channel, messages):
        head = b'{"id":2,"publish":{"channel":"%b","data":' % channel.encode()
        self.transport.send(WSMsgType.TEXT, b"\n".join(head + each + b"}}" for each in messages))


KINDS = {
    "gateway": GatewayPeer,
    "batch": BatchPeer,
    "resuming": ResumingPeer,
    "native": NativePeer,
    "centrifugo": CentrifugoPeer,
}


def masked_frame(text):
    """A text frame of a client with 126 to 65,535 bytes. The key is 0, so that only the server has to unmask it."""
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text


def build_connect(info, seed):
    """The CONNECT line that answers the server's INFO, with an NKey as the only credential."""
    key = key_pair(seed)
    signature = base64.urlsafe_b64encode(key.sign(info["nonce"].encode())).rstrip(b"=").decode()
    options = {
        "verbose": False,
        "pedantic": False,
        "headers": True,
        "no_responders": True,
        "lang": "python",
        "version": "0",
        "protocol": 1,
        "nkey": key.public,
        "sig": signature,
    }
    return b"CONNECT " + json.dumps(options).encode() + b"\r\n"


async def connect(kind, url, tenant_id, agent, subject=None):
    """An authenticated peer, subscribed to `subject` if there is one."""
    path = f"/ws/client/{agent['id']}" if issubclass(KINDS[kind], GatewayPeer) else ""
    _, peer = await ws_connect(
        lambda: KINDS[kind](agent),
        url + path,
        websocket_handshake_timeout=REPLY_TIMEOUT_S,
        read_buffer_init_size=READ_BUFFER if subject else 1024,
        extra_headers=KINDS[kind].headers,
    )
    await peer.authenticate(tenant_id)
    if subject is not None:
        await peer.subscribe(tenant_id, subject)
    return peer


class SequenceCheck:
    """Checks that one subscriber receives each number once and in order."""

    def __init__(self):
        self._numbers = []

    def add(self, data):
        self._numbers.extend(number for number, _ in parse_messages(data))

    def is_complete(self, count):
        return self._numbers == list(range(count))
