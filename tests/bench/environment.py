"""The system under test: a stack of its own, an organization in it, and the worker processes."""

import asyncio
import itertools
import json
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import httpx

from artcafe_common.dev.stack import LOOPBACK, PASSWORD, READY_WITHIN_S, REGION, USER, Stack
from artcafe_gateway.settings import Settings
from bench.meter import Meter
from support.stack import free_ports

TESTS = Path(__file__).parents[1]
CLIENTS = 50
SETTINGS = {"ARTCAFE_KEYS_PER_HOUR": "1000000"}
END_S = 5
SETTLE_STEP_S = 0.4
SETTLE_TRIES = 75
QUIET = 0.25


class World:
    """Everything a row needs; use it between `up` and `down`."""

    def __init__(self, directory, *, quick):
        self.quick = quick
        self.repeats = 1 if quick else 3
        self.stack = Stack(directory, free_ports(), settings=dict(SETTINGS))
        self.workers = {}
        self.http = None
        self.tenant = None
        self._token = ""
        self._numbers = itertools.count()

    async def up(self):
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = LOOPBACK
        await self.stack.up()
        self.http = httpx.AsyncClient(base_url=f"{self.stack.api}/api/v1", timeout=30)
        login = await self.http.post("/auth/login", json={"email": USER, "password": PASSWORD})
        self._token = login.raise_for_status().json()["access_token"]
        self.tenant = await self.found("Bench", CLIENTS)
        for name in ("generator", "publisher"):
            self.workers[name] = await Worker.start(name, self.stack.directory / "logs")

    async def down(self):
        for worker in self.workers.values():
            await worker.stop()
        if self.http is not None:
            await self.http.aclose()
        await self.stack.down()

    async def found(self, name, clients):
        """An organization with clients, made over the public API."""
        headers = {"Authorization": f"Bearer {self._token}"}
        made = await self.http.post("/accounts", json={"name": name}, headers=headers)
        tenant = Tenant(made.raise_for_status().json()["account_id"], headers)
        for i in range(clients):
            answer = await self.http.post("/clients", json={"name": f"agent {i}"}, headers=tenant.headers)
            client = answer.raise_for_status().json()
            tenant.agents.append({"id": client["client"]["client_id"], "seed": client["nkey_seed"]})
        return tenant

    async def channel(self):
        """The subject of a new channel, whose messages are kept."""
        made = await self.http.post("/channels", json={"name": self.fresh("c")}, headers=self.tenant.headers)
        return made.raise_for_status().json()["subject"]

    async def worker(self, name):
        """Another worker, started when it is first asked for."""
        if name not in self.workers:
            self.workers[name] = await Worker.start(name, self.stack.directory / "logs")
        return self.workers[name]

    @property
    def generator(self):
        return self.workers["generator"]

    @property
    def publisher(self):
        return self.workers["publisher"]

    def url(self, kind):
        """Where WebSockets of a kind go."""
        port = self.stack.ports.api if kind != "native" else self.stack.ports.nats_ws
        return f"ws://{LOOPBACK}:{port}"

    @property
    def nats(self):
        """The broker's own address."""
        return f"nats://{LOOPBACK}:{self.stack.ports.nats}"

    def fresh(self, what="x"):
        """A subject that no row used before."""
        return f"{what}{next(self._numbers)}"

    def gateway_pid(self):
        return self.stack.supervisor.pid("gateway")

    def meter(self):
        pids = {name: self.stack.supervisor.pid(name) for name in self.stack.supervisor.names}
        pids["nats-server"] = pids.pop("nats")
        pids |= {name: worker.pid for name, worker in self.workers.items()}
        return Meter({name: pid for name, pid in pids.items() if pid is not None})

    async def settle(self):
        """Return when the services have digested what came before, or after a while."""
        for _ in range(SETTLE_TRIES):
            meter = self.meter()
            meter.start()
            await asyncio.sleep(SETTLE_STEP_S)
            if meter.stop().ours < QUIET:
                return

    async def metrics(self):
        """The gateway's own numbers, by name, without labels."""
        text = (await self.http.get("/metrics")).raise_for_status().text
        found = re.findall(r"^(\w+) ([0-9.e+-]+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    @property
    def has_naive(self):
        """Whether this gateway can be told to write every message to every socket by itself."""
        return "fanout" in Settings.__struct_fields__

    async def new_gateway(self, **settings):
        """Start the gateway anew, with these settings besides the usual ones."""
        self.stack.settings = {**SETTINGS, **settings}
        await self.stack.supervisor.stop("gateway")
        self.stack.start("gateway")
        async with asyncio.timeout(READY_WITHIN_S):
            while self.gateway_pid() is None:
                await asyncio.sleep(0.05)
        await self.stack.wait_ready()


class Tenant:
    """An organization and the keys of its clients."""

    def __init__(self, tenant_id, headers):
        self.id = tenant_id
        self.headers = {**headers, "X-Tenant-Id": tenant_id}
        self.agents = []


class Worker:
    """A process of ours that does what it is told."""

    def __init__(self, name, process):
        self.name = name
        self.pid = process.pid
        self.files = 0
        self._process = process
        self._answers = {0: asyncio.get_running_loop().create_future()}
        self._numbers = itertools.count(1)
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, name, logs):
        with (logs / f"bench-{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
                limit=1 << 24,
            )
        self = cls(name, process)
        self.files = (await asyncio.wait_for(self._answers[0], 20))["files"]
        return self

    async def _read(self):
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            future = self._answers.get(answer["id"])
            if future is not None and not future.done():
                if "error" in answer:
                    future.set_exception(RuntimeError(f"{self.name}: {answer['error']}"))
                else:
                    future.set_result(answer["result"])
        for future in self._answers.values():
            if not future.done():
                future.set_exception(RuntimeError(f"{self.name} ended; see its log"))

    async def do(self, command, *, within=120, **arguments):
        """Its result; RuntimeError when it failed."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "do": command, "with": arguments})
        self._process.stdin.write(line.encode() + b"\n")
        try:
            return await asyncio.wait_for(self._answers[number], within)
        finally:
            self._answers.pop(number, None)

    async def stop(self):
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        self._reading.cancel()


def dynamodb_of(world):
    """Where and how the stand-in for DynamoDB is reached."""
    return {"url": world.stack.aws_url, "region": REGION, "table": "artcafe-clients"}
