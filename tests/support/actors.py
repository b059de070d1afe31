"""Users, organizations and clients, which act over the public API."""

import asyncio
import base64
import contextlib
import json
import ssl
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from artcafe_common.broker.nkeys import KeyPair
from support.cleanup import close_after_test
from support.ordered_flush import OrderedFlushNats
from support.waiting import QUIET_PERIOD_S

PASSWORD = "Some-Password-1"
BATCH = "artcafe.v1.batch"
# The API is not encrypted, and to load the system's certificates for each client takes time.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def set_plan(tenant, plan):
    """Change the plan of an organization as an operator does."""
    command = [str(Path(sys.executable).parent / "artcafe"), "plan", "set", tenant.id, plan]
    result = await asyncio.to_thread(
        subprocess.run,
        command,
        env=tenant.stack.environ(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert tenant.id in result.stdout


async def set_message_count(stack, tenant, messages):
    """Set metering's counter of messages in this month."""
    month = f"{datetime.now(UTC):%Y%m}"
    async with Redis.from_url(stack.endpoints["redis"]) as redis:
        await redis.hset(f"stats:m:{month}:{tenant.id}", "messages", messages)


class User:
    """A signed-in user."""

    def __init__(self, stack, email, http, token):
        self.stack = stack
        self.email = email
        self.token = token
        self.http = http

    @classmethod
    async def sign_up(cls, stack):
        """Create a user and log in."""
        email = f"{uuid.uuid4().hex[:12]}@example.com"
        await stack.add_user(email, PASSWORD)
        return await cls.log_in(stack, email)

    @classmethod
    async def log_in(cls, stack, email):
        """Log in an existing user."""
        user = cls.with_token(stack, email, "")
        response = await user.http.post(
            "/auth/login", json={"email": email, "password": PASSWORD}, headers={"Authorization": ""}
        )
        assert response.status_code == 200, response.text
        return cls.with_token(stack, email, response.json()["access_token"], http=user.http)

    @classmethod
    def with_token(cls, stack, email, token, *, http=None):
        """A user with an access token."""
        if http is None:
            http = httpx.AsyncClient(base_url=f"{stack.api}/api/v1", timeout=20, verify=NO_TLS)
            close_after_test(http, http.aclose)
        http.headers["Authorization"] = f"Bearer {token}"
        return cls(stack, email, http, token)

    async def create_organization(self, name="Acme"):
        response = await self.http.post("/accounts", json={"name": name})
        assert response.status_code == 201, response.text
        return Tenant(self, response.json())


class Tenant:
    """An organization, used by its owner."""

    def __init__(self, owner, account):
        self.owner = owner
        self.stack = owner.stack
        self.id = account["account_id"]
        self.account = account
        self.http = httpx.AsyncClient(
            base_url=owner.http.base_url,
            timeout=20,
            verify=NO_TLS,
            headers={**owner.http.headers, "X-Tenant-Id": self.id},
        )
        close_after_test(self.http, self.http.aclose)

    async def call(self, method, path, status=None, **kwargs):
        """Send a REST request; returns the JSON body. With `status`, asserts the status code."""
        response = await self.http.request(method, path, **kwargs)
        if status is not None:
            assert response.status_code == status, (response.status_code, response.text)
        return response.json() if response.content else None

    async def list_items(self, path):
        """The items on the first page of a list."""
        (items,) = (each for each in (await self.call("GET", path, 200)).values() if isinstance(each, list))
        return items

    async def is_online(self, client_id):
        return (await self.call("GET", f"/clients/{client_id}/status", 200))["status"] == "online"

    async def create_client(self, name=None, **fields):
        body = {"name": name or f"agent {uuid.uuid4().hex[:8]}", **fields}
        return Client(self, await self.call("POST", "/clients", 201, json=body))

    async def create_channel(self, name=None):
        return await self.call("POST", "/channels", 201, json={"name": name or f"ch {uuid.uuid4().hex[:8]}"})

    async def connect_dashboard(self):
        url = f"ws://127.0.0.1:{self.stack.ports.api}/ws/dashboard?tenant_id={self.id}"
        ws = await connect(url, subprotocols=["bearer", self.owner.token], compression=None)
        socket = Socket(ws)
        socket.welcome = await socket.receive("welcome")
        return socket


class Client:
    """A client and its seed."""

    def __init__(self, tenant, created):
        self.tenant = tenant
        self.id = created["client"]["client_id"]
        self.record = created["client"]
        self.seed = created["nkey_seed"]
        self.connection = created["connection"]

    async def connect_websocket(self, **options):
        """An authenticated WebSocket."""
        ws = await connect(self.connection["websocket_url"], compression=None, max_size=None, **options)
        socket = Socket(ws)
        challenge = await socket.receive("challenge")
        await socket.send(type="auth", **self.sign_nonce(challenge["nonce"]))
        socket.welcome = await socket.receive("welcome")
        return socket

    async def connect_unauthenticated(self):
        """A plain WebSocket that received its challenge and has not answered it."""
        ws = await connect(self.connection["websocket_url"], compression=None)
        assert json.loads(await ws.recv())["type"] == "challenge"
        return ws

    def sign_nonce(self, nonce, seed=None):
        """The `nkey` and `signature` that answer a challenge."""
        pair = KeyPair(seed or self.seed)
        signature = base64.urlsafe_b64encode(pair.sign(nonce.encode())).rstrip(b"=").decode()
        return {"nkey": pair.public, "signature": signature}

    async def connect_nats(self, **options):
        """A direct connection to the broker, with the seed as the only credential."""

        async def ignore(_error):
            return None

        nc = OrderedFlushNats()
        close_after_test(nc, nc.close)
        await nc.connect(
            options.pop("servers", self.connection["nats_url"]),
            nkeys_seed_str=self.seed,
            **{"allow_reconnect": False, "error_cb": ignore, **options},
        )
        return nc


def _parse_int(digits):
    # Python does not convert more than 4300 digits, but such integers are valid JSON.
    return int(digits) if len(digits) <= 4300 else digits


class SocketClosed(ConnectionError):
    """The server closed the WebSocket before it sent the frame that a test waits for."""

    def __init__(self, closed, pending):
        super().__init__(f"closed with {closed}; pending {pending}")
        self.code, self.reason = closed


class Socket:
    """A WebSocket that reads in the background and returns frames by type."""

    def __init__(self, ws):
        self.ws = ws
        self.welcome = None
        self.closed = None
        # Of the WebSocket; in the batch subprotocol one contains several of those below.
        self.frame_count = 0
        # All frames in order; `_pending` are those that no test has received yet.
        self.received = []
        self._pending = []
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())
        close_after_test(self, self.close)

    async def _read(self):
        with contextlib.suppress(Exception):
            async for text in self.ws:
                for line in text.split("\n") if self.ws.subprotocol == BATCH else (text,):
                    self.received.append(json.loads(line, parse_int=_parse_int))
                    self._pending.append(self.received[-1])
                self.frame_count += 1
                self._changed.set()
        self.closed = (self.ws.close_code, self.ws.close_reason)
        self._changed.set()

    async def send(self, **frame):
        await self.ws.send(json.dumps(frame))

    async def send_lines(self, *frames):
        """Send several messages as one frame of the batch subprotocol."""
        await self.ws.send("\n".join(map(json.dumps, frames)))

    async def receive(self, kind, within=5.0, **fields):
        """Wait for the next frame of a type, with matching fields, and remove it from the pending ones."""
        return await self.receive_any({kind}, within, **fields)

    async def receive_any(self, kinds, within=5.0, **fields):
        """As `receive`, for any of several types."""

        def matches(frame):
            return frame["type"] in kinds and all(frame.get(k) == v for k, v in fields.items())

        ends_at = time.monotonic() + within
        while True:
            for frame in self._pending:
                if matches(frame):
                    self._pending.remove(frame)
                    return frame
            if self.closed:
                raise SocketClosed(self.closed, self._pending)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), ends_at - time.monotonic())
            except TimeoutError:
                message = f"none of {kinds} with {fields} within {within} s; pending {self._pending}"
                raise TimeoutError(message) from None

    async def send_and_receive(self, kind, reply, **fields):
        """Send a frame and wait for a frame of the type `reply`."""
        await self.send(type=kind, **fields)
        return await self.receive(reply)

    async def subscribe(self, **fields):
        return await self.send_and_receive("subscribe", "subscribed", **fields)

    def pending(self, kind):
        """The frames of a type that no test has received yet."""
        return [frame for frame in self._pending if frame["type"] == kind]

    def drain(self, kind):
        """Remove and return the pending frames of a type."""
        drained = self.pending(kind)
        self._pending = [frame for frame in self._pending if frame not in drained]
        return drained

    async def assert_no_frame(self, kind, for_s=QUIET_PERIOD_S):
        """Assert that no frame of a type arrives."""
        await asyncio.sleep(for_s)
        assert self.pending(kind) == []

    async def wait_closed(self, within=5.0):
        """Wait for the close; returns its code and reason."""
        await asyncio.wait_for(asyncio.shield(self._reader), within)
        return self.closed

    async def close(self):
        await self.ws.close()
        await self._reader
