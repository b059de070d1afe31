"""WebSocket clients of the gateway and of the broker's own listener, as little as counts correctly."""

import asyncio
import base64
import json
from functools import cache

from picows import WSListener, WSMsgType, ws_connect

from artcafe_common.broker.nkeys import KeyPair
from bench.payload import SIZE, Marks, fields

ANSWER_S = 20
LOST = 1006
READ_BUFFER = 64 * 1024
key_of = cache(KeyPair)


class Gone(Exception):
    """The connection ended."""


class Peer(WSListener):
    """An authenticated WebSocket that counts messages."""

    def __init__(self, agent):
        self.agent = agent
        self.transport = None
        self.code = None
        self.received = 0
        self.goal = 0
        self.reached = None  # called once, at the goal
        self.heard = None  # called with what came, when somebody wants to look into it
        self._framing = None
        self.marks = Marks()
        self.writable = asyncio.Event()
        self.writable.set()
        self._answers = asyncio.Queue()

    def on_ws_connected(self, transport):
        self.transport = transport

    def on_ws_disconnected(self, _transport):
        self.code = self.code or LOST
        self._answers.put_nowait(None)
        self.writable.set()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def only_count(self):
        """From now on look at nothing but the marks, whatever frames they are in."""
        raw = self.transport.underlying_transport
        self._framing = raw.get_protocol()
        raw.set_protocol(Counter(self))

    def count(self, many):
        before = self.received
        self.received = before + many
        if before < self.goal <= self.received:
            self.reached()

    def _note_close(self, frame):
        self.code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big") or 1005

    async def answer(self, wanted):
        """The next answer for which `wanted` is true."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                answer = await self._answers.get()
                if answer is None:
                    raise Gone(f"closed with {self.code}")
                if wanted(answer):
                    return answer

    def waiting(self):
        """The answers that nobody asked for."""
        while not self._answers.empty():
            answer = self._answers.get_nowait()
            if answer is not None:
                yield answer

    async def close(self):
        if self._framing is not None:
            if self.code:
                return
            self.transport.underlying_transport.set_protocol(self._framing)
        self.transport.disconnect()
        await self.transport.wait_disconnected()


class Counter(asyncio.BufferedProtocol):
    """Counts marks in what a socket receives: the same small work for every protocol.

    It answers no ping, so it serves for some seconds only.
    """

    _buffer = bytearray(256 * 1024)

    def __init__(self, peer):
        self._peer = peer
        self._marks = Marks()

    def get_buffer(self, _sizehint):
        return self._buffer

    def buffer_updated(self, nbytes):
        found = self._marks.count(self._buffer, nbytes)
        if found:
            self._peer.count(found)

    def connection_lost(self, _error):
        self._peer.code = LOST


class GatewayPeer(Peer):
    """Speaks JSON text frames; each message is a frame of its own."""

    def on_ws_frame(self, _transport, frame):
        if frame.msg_type is WSMsgType.TEXT and frame.payload_size > SIZE + 32:
            self.count(1)
            if self.heard is not None:
                self.heard(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.TEXT:
            self._answers.put_nowait(json.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type is WSMsgType.CLOSE:
            self._note_close(frame)

    async def sign_in(self, _tenant_id):
        nonce = (await self.answer(lambda frame: frame["type"] == "challenge"))["nonce"]
        key = key_of(self.agent["seed"])
        signature = base64.urlsafe_b64encode(key.sign(nonce.encode())).decode()
        self.say(type="auth", nkey=key.public, signature=signature)
        await self.answer(lambda frame: frame["type"] == "welcome")

    async def subscribe(self, _tenant_id, subject):
        self.say(type="subscribe", subject=subject)
        await self.answer(lambda frame: frame["type"] == "subscribed")

    def say(self, **frame):
        self.transport.send(WSMsgType.TEXT, json.dumps(frame).encode())

    def publish(self, _tenant_id, subject, messages):
        head = b'{"type":"publish","subject":"%b","data":' % subject.encode()
        for each in messages:
            self.transport.send(WSMsgType.TEXT, head + each + b"}")


class ResumingPeer(GatewayPeer):
    """Follows a channel's history, from its end on."""

    async def subscribe(self, _tenant_id, subject):
        self.say(type="subscribe", subject=subject, last=0)
        await self.answer(lambda frame: frame["type"] == "subscribed")


class NativePeer(Peer):
    """Speaks the broker's protocol; a frame holds whatever the broker had to send."""

    def on_ws_frame(self, _transport, frame):
        if frame.msg_type is WSMsgType.CLOSE:
            self._note_close(frame)
            return
        data = frame.get_payload_as_bytes()
        many = self.marks.count(data, len(data))
        if many:
            self.count(many)
            if self.heard is not None:
                self.heard(data)
        if b"PING\r\n" in data:
            self.transport.send(WSMsgType.BINARY, b"PONG\r\n")
        if not many:
            self._answers.put_nowait(data)

    async def sign_in(self, _tenant_id):
        info = await self.answer(lambda data: data.startswith(b"INFO"))
        line = connect_line(json.loads(info[5:]), self.agent["seed"])
        await self._confirmed(line)

    async def subscribe(self, tenant_id, subject):
        await self._confirmed(f"SUB {tenant_id}.{subject} 1\r\n".encode())

    async def _confirmed(self, line):
        self.transport.send(WSMsgType.BINARY, line + b"PING\r\n")
        answer = await self.answer(lambda data: b"PONG" in data or b"-ERR" in data)
        if b"-ERR" in answer:
            raise Gone(answer.decode())

    def publish(self, tenant_id, subject, messages):
        head = b"PUB %b %d\r\n" % (f"{tenant_id}.{subject}".encode(), SIZE)
        self.transport.send(WSMsgType.BINARY, b"".join(head + each + b"\r\n" for each in messages))


KINDS = {"gateway": GatewayPeer, "resuming": ResumingPeer, "native": NativePeer}


def connect_line(info, seed):
    """CONNECT with nothing but an NKey."""
    key = key_of(seed)
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


async def connected(kind, url, tenant_id, agent, subject=None):
    """One peer, signed in, and subscribed if a subject is given."""
    path = f"/ws/client/{agent['id']}" if kind != "native" else ""
    _, peer = await ws_connect(
        lambda: KINDS[kind](agent),
        url + path,
        websocket_handshake_timeout=ANSWER_S,
        read_buffer_init_size=READ_BUFFER if subject else 1024,
    )
    await peer.sign_in(tenant_id)
    if subject is not None:
        await peer.subscribe(tenant_id, subject)
    return peer


class Sample:
    """Looks into every message of one subscriber: each number once, in order."""

    def __init__(self):
        self._numbers = []
        self.waits = []

    def numbers(self, data):
        self._numbers.extend(number for number, _ in fields(data))

    def exact(self, count):
        return self._numbers == list(range(count))
