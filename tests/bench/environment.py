"""The environment of a benchmark: a private stack, an organization, and the worker processes."""

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
from bench.meter import CpuMeter
from support.stack import free_ports

TESTS = Path(__file__).parents[1]
CLIENTS = 50
SETTINGS = {"ARTCAFE_KEYS_PER_HOUR": "1000000"}
STOP_TIMEOUT_S = 5
IDLE_CHECK_S = 0.4
IDLE_CHECKS = 75
IDLE_SHARE = 0.25
PORT_POLL_S = 0.05


class Environment:
    """Everything a row needs; valid between `start` and `stop`."""

    def __init__(self, directory, *, quick, soak_minutes):
        self.quick = quick
        self.soak_minutes = soak_minutes
        self.repeats = 1 if quick else 3
        self.stack = Stack(directory, free_ports(), settings=dict(SETTINGS))
        self.workers = {}
        self.http = None
        self.tenant = None
        self._token = ""
        self._numbers = itertools.count()
        # Of kinds of peers that are not the stack's: their WebSocket URL, and what connects a publisher to them.
        self.urls, self.sources = {}, {}

    async def start(self):
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = LOOPBACK
        await self.stack.up()
        self.http = httpx.AsyncClient(base_url=f"{self.stack.api}/api/v1", timeout=30)
        login = await self.http.post("/auth/login", json={"email": USER, "password": PASSWORD})
        self._token = login.raise_for_status().json()["access_token"]
        self.tenant = await self.create_organization("Bench", CLIENTS)
        for name in ("generator", "publisher"):
            self.workers[name] = await Worker.start(name, self.stack.directory / "logs")

    async def stop(self):
        for worker in self.workers.values():
            await worker.stop()
        if self.http is not None:
            await self.http.aclose()
        await self.stack.down()

    async def create_organization(self, name, clients):
        """An organization with clients, created over the REST API."""
        headers = {"Authorization": f"Bearer {self._token}"}
        response = await self.http.post("/accounts", json={"name": name}, headers=headers)
        tenant = Tenant(response.raise_for_status().json()["account_id"], headers)
        for i in range(clients):
            response = await self.http.post("/clients", json={"name": f"agent {i}"}, headers=tenant.headers)
            client = response.raise_for_status().json()
            tenant.agents.append({"id": client["client"]["client_id"], "seed": client["nkey_seed"]})
        return tenant

    async def create_channel(self):
        """The subject of a new channel, which stores its messages."""
        body = {"name": self.unique_name("c")}
        response = await self.http.post("/channels", json=body, headers=self.tenant.headers)
        return response.raise_for_status().json()["subject"]

    async def worker(self, name):
        """A further worker, started on first use."""
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
        """The WebSocket URL for a kind of peer."""
        if kind in self.urls:
            return self.urls[kind]
        port = self.stack.ports.api if kind != "native" else self.stack.ports.nats_ws
        return f"ws://{LOOPBACK}:{port}"

    def source(self, kind, tenant=None):
        """What connects a publisher to a kind of peer: to the broker, unless something else is set."""
        seed = (tenant or self.tenant).agents[0]["seed"]
        return self.sources.get(kind) or {"port": self.stack.ports.nats, "seed": seed}

    async def accepts(self, port):
        """Whether something listens on a port of loopback; False after a pause."""
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(PORT_POLL_S)
            return False
        writer.close()
        return True

    @property
    def nats_url(self):
        return f"nats://{LOOPBACK}:{self.stack.ports.nats}"

    def unique_name(self, prefix="x"):
        return f"{prefix}{next(self._numbers)}"

    def gateway_pid(self):
        return self.stack.supervisor.pid("gateway")

    def meter(self):
        pids = {name: self.stack.supervisor.pid(name) for name in self.stack.supervisor.names}
        pids["nats-server"] = pids.pop("nats")
        pids |= {name: worker.pid for name, worker in self.workers.items()}
        return CpuMeter({name: pid for name, pid in pids.items() if pid is not None})

    async def wait_until_idle(self):
        """Wait until the stack has finished earlier work, or for half a minute."""
        for _ in range(IDLE_CHECKS):
            meter = self.meter()
            meter.start()
            await asyncio.sleep(IDLE_CHECK_S)
            if meter.stop().total < IDLE_SHARE:
                return

    async def metrics(self):
        """The gateway's metrics, by name; those with labels are summed."""
        text = (await self.http.get("/metrics")).raise_for_status().text
        totals: dict[str, float] = {}
        for name, value in re.findall(r"^(\w+)(?:\{.*\})? ([0-9.e+-]+)$", text, re.MULTILINE):
            totals[name] = totals.get(name, 0.0) + float(value)
        return totals

    @property
    def supports_naive_fanout(self):
        """Whether the gateway has a setting to render each message once per socket."""
        return "fanout" in Settings.__struct_fields__

    async def restart_gateway(self, **settings):
        """Restart the gateway with additional settings."""
        self.stack.settings = {**SETTINGS, **settings}
        await self.stack.supervisor.stop("gateway")
        self.stack.start("gateway")
        async with asyncio.timeout(READY_WITHIN_S):
            while self.gateway_pid() is None:
                await asyncio.sleep(0.05)
        await self.stack.wait_ready()


class Tenant:
    """An organization and its clients' seeds."""

    def __init__(self, tenant_id, headers):
        self.id = tenant_id
        self.headers = {**headers, "X-Tenant-Id": tenant_id}
        self.agents = []


class Worker:
    """A worker process."""

    def __init__(self, name, process):
        self.name = name
        self.pid = process.pid
        self.open_files_limit = 0
        self._process = process
        self._results = {0: asyncio.get_running_loop().create_future()}
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
        self.open_files_limit = (await asyncio.wait_for(self._results[0], 20))["open_files_limit"]
        return self

    async def _read(self):
        while line := await self._process.stdout.readline():
            response = json.loads(line)
            future = self._results.get(response["id"])
            if future is not None and not future.done():
                if "error" in response:
                    future.set_exception(RuntimeError(f"{self.name}: {response['error']}"))
                else:
                    future.set_result(response["result"])
        for future in self._results.values():
            if not future.done():
                future.set_exception(RuntimeError(f"{self.name} ended; see its log"))

    async def run(self, job, *, within=120, **arguments):
        """The result of a job; raises RuntimeError if it failed, and TimeoutError."""
        number = next(self._numbers)
        self._results[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "job": job, "arguments": arguments})
        self._process.stdin.write(line.encode() + b"\n")
        try:
            return await asyncio.wait_for(self._results[number], within)
        finally:
            self._results.pop(number, None)

    async def stop(self):
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
        self._reading.cancel()


def dynamodb_address(environment):
    """The address and table of DynamoDB's stand-in."""
    return {"url": environment.stack.aws_url, "region": REGION, "table": "artcafe-clients"}
