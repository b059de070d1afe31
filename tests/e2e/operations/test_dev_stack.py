"""`artcafe dev` as a person runs it: a process of its own, from the first line to the last."""

import asyncio
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import nats
import psutil
import pytest
from aiobotocore.session import get_session
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from artcafe_common.dev.stack import SERVERS, SERVICES, Ports
from support.actors import Client
from support.waiting import eventually

ROOT = Path(__file__).parents[3]
ARTCAFE = Path(sys.executable).parent / "artcafe"
KEYS = {
    *("api", "ws", "nats", "nats_ws", "redis", "dynamodb"),
    *("tenant_id", "user", "password", "token", "client"),
}


def free_base():
    """The first of as many free ports as a stack needs, outside of the range of outgoing connections."""
    count = len(Ports.__struct_fields__)
    while True:
        base = random.randrange(15_000, 30_000)
        with ExitStack() as held, suppress(OSError):
            for port in range(base, base + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base


class Dev:
    """One run of `artcafe dev`."""

    def __init__(self, directory, base=None):
        self.directory = directory
        self.base = base or free_base()
        self.output = directory.with_name(f"{directory.name}-{random.randrange(10**9)}.out")
        self.process = None
        self.children = []

    def start(self):
        self.began = time.monotonic()
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [ARTCAFE, "dev"],
                env={
                    **os.environ,
                    "ARTCAFE_DEV_DIR": str(self.directory),
                    "ARTCAFE_DEV_PORT_BASE": str(self.base),
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return self

    @property
    def said(self):
        return self.output.read_text()

    async def ready(self):
        await eventually(lambda: "Ctrl-C" in self.said or self.process.poll() is not None, within=60)
        took = time.monotonic() - self.began
        assert self.process.poll() is None, self.said
        print(f"artcafe dev was ready after {took:.1f} s")
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        return self

    async def ended(self, within=20):
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), within)

    @property
    def endpoints(self):
        return json.loads((self.directory / "endpoints.json").read_text())

    @property
    def pids(self):
        return json.loads((self.directory / "pids.json").read_text())

    def nothing_is_left(self):
        ports = range(self.base, self.base + len(Ports.__struct_fields__))
        alive = [child for child in self.children if child.is_running() and child.status() != "zombie"]
        return not alive and not any(accepts(port) for port in ports)

    def clean_up(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def healthy(api):
    async with httpx.AsyncClient(timeout=5) as http:
        with suppress(httpx.HTTPError, ValueError):
            return (await http.get(f"{api}/health")).json()["status"] == "ok"
    return False


@pytest.fixture(scope="module")
async def dev(tmp_path_factory):
    """A stack that the tests here share; the last one of them kills it."""
    running = Dev(tmp_path_factory.mktemp("dev") / "stack").start()
    try:
        yield await running.ready()
    finally:
        running.clean_up()


# nats-py 2.16 hands aiohttp a timeout in a deprecated form.
@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")
async def test_it_says_where_everything_is_and_all_of_it_works(dev):
    endpoints = dev.endpoints
    assert endpoints.keys() == KEYS
    assert endpoints["client"].keys() == {"client_id", "nkey_seed"}
    for key in ("api", "ws", "nats", "nats_ws"):
        assert endpoints[key] in dev.said
    path = dev.directory / "endpoints.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert endpoints["client"]["nkey_seed"] not in dev.said
    assert endpoints["token"] not in dev.said

    async with httpx.AsyncClient(base_url=endpoints["api"], timeout=10) as http:
        assert await healthy(endpoints["api"])
        login = {"email": endpoints["user"], "password": endpoints["password"]}
        assert (await http.post("/auth/login", json=login)).status_code == 200
        bearer = {"Authorization": f"Bearer {endpoints['token']}"}
        account = await http.get(f"/accounts/{endpoints['tenant_id']}", headers=bearer)
        assert account.json()["account_id"] == endpoints["tenant_id"]

    # The seed over NATS, over NATS in WebSocket, and over the gateway's WebSocket.
    client = endpoints["client"]
    for url in (endpoints["nats"], endpoints["nats_ws"]):
        async with asyncio.timeout(10):
            nc = await nats.connect(url, nkeys_seed_str=client["nkey_seed"], allow_reconnect=False)
            await nc.flush()
        await nc.close()
    async with connect(f"{endpoints['ws']}/ws/client/{client['client_id']}") as ws:
        nonce = json.loads(await ws.recv())["nonce"]
        proof = Client.sign_nonce(None, nonce, client["nkey_seed"])
        await ws.send(json.dumps({"type": "auth", **proof}))
        assert json.loads(await ws.recv())["type"] == "welcome"

    async with Redis.from_url(endpoints["redis"]) as redis:
        assert await redis.ping()
    async with get_session().create_client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=endpoints["dynamodb"],
        aws_access_key_id="any",
        aws_secret_access_key="any",
    ) as dynamodb:
        assert "artcafe-tenants" in (await dynamodb.list_tables())["TableNames"]

    # Nothing of it is for others than this machine.
    listening = [
        one.laddr.ip
        for pid in dev.pids.values()
        for one in psutil.Process(pid).net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


async def test_a_killed_part_is_started_again(dev):
    # Redis stands for the servers, tenancy for the services.
    for name in ("tenancy", "redis"):
        before = (await eventually(lambda: dev.pids))[name]
        os.kill(before, signal.SIGKILL)

        def another(name=name, before=before):
            with suppress(json.JSONDecodeError):
                return dev.pids.get(name) not in (None, before)

        await eventually(another, within=15)
        await eventually(lambda: healthy(dev.endpoints["api"]), within=15)
    assert dev.pids.keys() == {*SERVERS, *SERVICES}


async def test_a_second_one_in_the_same_directory_is_told_so_and_harms_nothing(dev):
    second = Dev(dev.directory).start()
    assert await second.ended() == 1
    assert second.said.strip() == f"artcafe dev: a stack is running in {dev.directory} already"
    assert dev.endpoints.keys() == KEYS
    assert dev.pids
    assert await healthy(dev.endpoints["api"])


async def test_a_port_in_use_is_named(tmp_path):
    base = free_base()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 4))
        taken.listen()
        blocked = Dev(tmp_path / "stack", base).start()
        assert await blocked.ended() == 1
    assert len(blocked.said.strip().splitlines()) == 1
    assert str(base + 4) in blocked.said
    assert "ARTCAFE_DEV_PORT_BASE" in blocked.said


async def test_two_run_side_by_side_and_one_ends_cleanly(dev, tmp_path):
    other = Dev(tmp_path / "stack").start()
    try:
        await other.ready()
        assert other.endpoints["tenant_id"] != dev.endpoints["tenant_id"]
        assert await healthy(other.endpoints["api"])
        assert await healthy(dev.endpoints["api"])
        other.process.send_signal(signal.SIGINT)
        assert await other.ended() == 0
        assert other.said.rstrip().endswith("Stopped.")
        assert other.nothing_is_left()
        assert not (other.directory / "endpoints.json").exists()
    finally:
        other.clean_up()
    assert await healthy(dev.endpoints["api"])


async def test_sigint_while_it_starts(tmp_path):
    early = Dev(tmp_path / "stack").start()
    try:
        await eventually((early.directory / "logs").exists)
        await asyncio.sleep(0.5)
        early.children = psutil.Process(early.process.pid).children(recursive=True)
        early.process.send_signal(signal.SIGINT)
        assert await early.ended() == 0
        assert early.nothing_is_left()
    finally:
        early.clean_up()


async def test_a_kill_leaves_no_orphan_and_it_starts_again_over_what_is_left(dev):
    dev.process.kill()
    dev.process.wait()
    # The kernel ends the children with their parent.
    await eventually(dev.nothing_is_left, within=3)
    assert (dev.directory / "pids.json").exists()
    again = Dev(dev.directory, dev.base).start()
    try:
        await again.ready()
        assert again.endpoints.keys() == KEYS
        again.process.send_signal(signal.SIGTERM)
        assert await again.ended() == 0
        assert again.nothing_is_left()
    finally:
        again.clean_up()


@pytest.mark.parametrize("target", ["dev", "test", "check", "lint", "setup", "lock", "clean"])
def test_make_knows(target):
    told = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip()
