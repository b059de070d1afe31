"""People, organizations and clients, as a user of the service would make them."""

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import nats
from websockets.asyncio.client import connect

from artcafe_common.broker.nkeys import KeyPair

PASSWORD = "Some-Password-1"
QUIET_S = 0.4


# What the running test has opened; a fixture closes it behind the test.
_open = []


def closing(thing, close):
    """Close `thing` when the test ends."""
    _open.append(close)
    return thing


async def close_all():
    while _open:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(_open.pop()(), 5)


def keep_open():
    """What was opened until now stays so beyond the test: it belongs to a wider fixture."""
    _open.clear()


async def eventually(check, *, within=10.0, every=0.05):
    """The first truthy result of `check` (sync or async); AssertionError when time is up."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    last = None
    while loop.time() < until:
        last = check()
        if asyncio.iscoroutine(last):
            last = await last
        if last:
            return last
        await asyncio.sleep(every)
    raise AssertionError(f"did not happen within {within} s; last seen: {last!r}")


async def set_plan(tenant, plan):
    command = [str(Path(sys.executable).parent / "artcafe"), "plan", "set", tenant.id, plan]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=tenant.stack.environ(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert tenant.id in done.stdout


class Person:
    """A signed-in user."""

    def __init__(self, stack, email, http, token):
        self.stack = stack
        self.email = email
        self.token = token
        self.http = http

    @classmethod
    async def sign_up(cls, stack):
        email = f"{uuid.uuid4().hex[:12]}@example.com"
        await stack.add_user(email, PASSWORD)
        http = httpx.AsyncClient(base_url=f"{stack.api}/api/v1", timeout=20)
        closing(http, http.aclose)
        answer = await http.post("/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        return cls(stack, email, http, token)

    async def found(self, name="Acme"):
        answer = await self.http.post("/accounts", json={"name": name})
        assert answer.status_code == 201, answer.text
        return Tenant(self, answer.json())


class Tenant:
    """An organization, seen by its founder."""

    def __init__(self, owner, account):
        self.owner = owner
        self.stack = owner.stack
        self.id = account["account_id"]
        self.account = account
        self.http = httpx.AsyncClient(
            base_url=owner.http.base_url,
            timeout=20,
            headers={**owner.http.headers, "X-Tenant-Id": self.id},
        )
        closing(self.http, self.http.aclose)

    async def call(self, method, path, status=None, **kwargs):
        answer = await self.http.request(method, path, **kwargs)
        if status is not None:
            assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def client(self, name=None, **fields):
        made = await self.call(
            "POST", "/clients", 201, json={"name": name or f"agent {uuid.uuid4().hex[:8]}", **fields}
        )
        return Agent(self, made)

    async def channel(self, name=None):
        return await self.call("POST", "/channels", 201, json={"name": name or f"ch {uuid.uuid4().hex[:8]}"})

    async def dashboard(self):
        url = f"ws://127.0.0.1:{self.stack.ports.api}/ws/dashboard?tenant_id={self.id}"
        ws = await connect(url, subprotocols=["bearer", self.owner.token], compression=None)
        socket = Socket(ws)
        socket.welcome = await socket.take("welcome")
        return socket


class Agent:
    """A client with its seed."""

    def __init__(self, tenant, made):
        self.tenant = tenant
        self.id = made["client"]["client_id"]
        self.record = made["client"]
        self.seed = made["nkey_seed"]
        self.connection = made["connection"]

    async def websocket(self):
        """Connected and authenticated over WebSocket."""
        ws = await connect(self.connection["websocket_url"], compression=None, max_size=None)
        socket = Socket(ws)
        challenge = await socket.take("challenge")
        await socket.send(type="auth", **self.proof(challenge["nonce"]))
        socket.welcome = await socket.take("welcome")
        return socket

    async def challenged(self):
        """A bare WebSocket that got its challenge and does not answer."""
        ws = await connect(self.connection["websocket_url"], compression=None)
        assert json.loads(await ws.recv())["type"] == "challenge"
        return ws

    def proof(self, nonce, seed=None):
        pair = KeyPair(seed or self.seed)
        signature = base64.urlsafe_b64encode(pair.sign(nonce.encode())).rstrip(b"=").decode()
        return {"nkey": pair.public, "signature": signature}

    async def nats(self, **options):
        """Connected straight to the broker, with nothing but the seed."""

        async def quiet(_error):
            return None

        nc = nats.NATS()
        closing(nc, nc.close)
        await nc.connect(
            self.connection["nats_url"],
            nkeys_seed_str=self.seed,
            **{"allow_reconnect": False, "error_cb": quiet, **options},
        )
        return nc


class Socket:
    """A WebSocket that sorts what it receives by type."""

    def __init__(self, ws):
        self.ws = ws
        self.welcome = None
        self.closed = None
        # Everything that came, in order; `_seen` is what nobody took yet.
        self.heard = []
        self._seen = []
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())
        closing(self, self.close)

    async def _read(self):
        with contextlib.suppress(Exception):
            async for text in self.ws:
                self.heard.append(json.loads(text))
                self._seen.append(self.heard[-1])
                self._news.set()
        self.closed = (self.ws.close_code, self.ws.close_reason)
        self._news.set()

    async def send(self, **frame):
        await self.ws.send(json.dumps(frame))

    async def take(self, kind, within=5.0, **fields):
        """The next frame of a type whose fields fit; it is taken out."""
        return await self.take_any({kind}, within, **fields)

    async def take_any(self, kinds, within=5.0, **fields):
        """The next frame of one of some types."""

        def fits(frame):
            return frame["type"] in kinds and all(frame.get(k) == v for k, v in fields.items())

        async with asyncio.timeout(within):
            while True:
                for frame in self._seen:
                    if fits(frame):
                        self._seen.remove(frame)
                        return frame
                if self.closed:
                    raise ConnectionError(f"closed with {self.closed}; seen {self._seen}")
                self._news.clear()
                await self._news.wait()

    async def ask(self, kind, answer, **fields):
        await self.send(type=kind, **fields)
        return await self.take(answer)

    async def subscribe(self, **what):
        return await self.ask("subscribe", "subscribed", **what)

    def frames(self, kind):
        return [frame for frame in self._seen if frame["type"] == kind]

    def take_all(self, kind):
        """All frames of a type that came until now; they are taken out."""
        taken = self.frames(kind)
        self._seen = [frame for frame in self._seen if frame not in taken]
        return taken

    async def nothing(self, kind, for_s=QUIET_S):
        """Assert that no frame of a type comes."""
        await asyncio.sleep(for_s)
        assert self.frames(kind) == []

    async def ended(self, within=5.0):
        """The code and reason with which the connection closed."""
        await asyncio.wait_for(asyncio.shield(self._reader), within)
        return self.closed

    async def close(self):
        await self.ws.close()
        await self._reader
