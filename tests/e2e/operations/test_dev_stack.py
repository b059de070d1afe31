"""`artcafe dev` as a subprocess, from start to stop."""

import asyncio
import json
import os
import random
import re
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
from support.cli import Terminal
from support.waiting import eventually

ROOT = Path(__file__).parents[3]
ARTCAFE = Path(sys.executable).parent / "artcafe"
ENDPOINTS = {
    *("api", "ws", "nats", "nats_ws", "redis", "dynamodb"),
    *("tenant_id", "user", "password", "token", "client"),
}


def free_port_base():
    """The first of enough consecutive free ports, below the range of ephemeral ports."""
    count = len(Ports.__struct_fields__)
    while True:
        base = random.randrange(15_000, 30_000)
        with ExitStack() as reserved, suppress(OSError):
            for port in range(base, base + count):
                reserved.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base


class DevCommand:
    """One run of `artcafe dev`."""

    def __init__(self, directory, base=None, **environ):
        self.directory = directory
        self.environ = environ
        self.base = base or free_port_base()
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
                    **self.environ,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return self

    @property
    def text(self):
        return self.output.read_text()

    async def wait_ready(self):
        await eventually(lambda: "Ctrl-C" in self.text or self.process.poll() is not None, within=60)
        elapsed = time.monotonic() - self.began
        assert self.process.poll() is None, self.text
        print(f"artcafe dev was ready after {elapsed:.1f} s")
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        return self

    async def wait_stopped(self, within=20):
        return await asyncio.wait_for(asyncio.to_thread(self.process.wait), within)

    @property
    def endpoints(self):
        return json.loads((self.directory / "endpoints.json").read_text())

    @property
    def pids(self):
        return json.loads((self.directory / "pids.json").read_text())

    def is_cleaned_up(self):
        ports = range(self.base, self.base + len(Ports.__struct_fields__))
        alive = [child for child in self.children if child.is_running() and child.status() != "zombie"]
        return not alive and not any(is_listening(port) for port in ports)

    def kill(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def is_healthy(api):
    async with httpx.AsyncClient(timeout=5) as http:
        with suppress(httpx.HTTPError, ValueError):
            return (await http.get(f"{api}/health")).json()["status"] == "ok"
    return False


@pytest.fixture(scope="module")
async def dev(tmp_path_factory):
    """A stack that the tests of this module share; the last test kills it."""
    directory = tmp_path_factory.mktemp("dev") / "stack"
    running = DevCommand(directory, ARTCAFE_DEFAULT_PLAN="free", ARTCAFE_HOST="0.0.0.0").start()
    try:
        yield await running.wait_ready()
    finally:
        running.kill()


# nats-py 2.16 passes a deprecated form of timeout to aiohttp.
@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")
async def test_printed_endpoints_work(dev):
    endpoints = dev.endpoints
    assert endpoints.keys() == ENDPOINTS
    assert endpoints["client"].keys() == {"client_id", "nkey_seed"}
    for key in ("api", "ws", "nats", "nats_ws"):
        assert endpoints[key] in dev.text
    path = dev.directory / "endpoints.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert endpoints["client"]["nkey_seed"] not in dev.text
    assert endpoints["token"] not in dev.text

    async with httpx.AsyncClient(base_url=endpoints["api"], timeout=10) as http:
        assert await is_healthy(endpoints["api"])
        # The page, or that it is not built.
        address = re.search(r"console +(\S+)", dev.text)[1]
        assert "console" in (await http.get(address)).text
        login = {"email": endpoints["user"], "password": endpoints["password"]}
        assert (await http.post("/auth/login", json=login)).status_code == 200
        bearer = {"Authorization": f"Bearer {endpoints['token']}"}
        account = await http.get(f"/accounts/{endpoints['tenant_id']}", headers=bearer)
        assert account.json()["account_id"] == endpoints["tenant_id"]

    # The seed works over NATS, over NATS in WebSocket, and over the gateway's WebSocket.
    client = endpoints["client"]
    for url in (endpoints["nats"], endpoints["nats_ws"]):
        async with asyncio.timeout(10):
            nc = await nats.connect(url, nkeys_seed_str=client["nkey_seed"], allow_reconnect=False)
            await nc.flush()
        await nc.close()
    async with connect(f"{endpoints['ws']}/ws/client/{client['client_id']}") as ws:
        nonce = json.loads(await ws.recv())["nonce"]
        signed = Client.sign_nonce(None, nonce, client["nkey_seed"])
        await ws.send(json.dumps({"type": "auth", **signed}))
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

    # Everything listens on loopback only.
    listening = [
        connection.laddr.ip
        for pid in dev.pids.values()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


async def test_killed_server_or_service_is_restarted(dev):
    # One server and one service.
    for name in ("tenancy", "redis"):
        before = (await eventually(lambda: dev.pids))[name]
        os.kill(before, signal.SIGKILL)

        def has_restarted(name=name, before=before):
            with suppress(json.JSONDecodeError):
                return dev.pids.get(name) not in (None, before)

        await eventually(has_restarted, within=15)
        await eventually(lambda: is_healthy(dev.endpoints["api"]), within=15)
    assert dev.pids.keys() == {*SERVERS, *SERVICES}


async def test_settings_of_the_user_reach_the_services(dev):
    endpoints = dev.endpoints
    async with httpx.AsyncClient(base_url=endpoints["api"], timeout=10) as http:
        headers = {"Authorization": f"Bearer {endpoints['token']}"}
        account = await http.get(f"/accounts/{endpoints['tenant_id']}", headers=headers)
    assert account.json()["plan"] == "free"
    # The stack listens on loopback, whatever the user says.
    assert "yours are ignored: ARTCAFE_HOST" in dev.text


async def test_floods_of_logins_are_limited(dev):
    """As in production, although everybody has one address here."""
    login = {"email": "flood@example.org", "password": "wrong"}
    async with httpx.AsyncClient(base_url=dev.endpoints["api"], timeout=10) as http:

        async def refused():
            response = await http.post("/auth/login", json=login)
            assert response.status_code in (401, 429), response.text
            return response if response.status_code == 429 else None

        response = await eventually(refused, within=20)
    assert int(response.headers["Retry-After"]) > 0


async def test_operator_commands_find_the_stack(dev, tmp_path):
    terminal = Terminal(
        tmp_path, ARTCAFE_DEV_DIR=str(dev.directory), AWS_REGION="eu-west-1", AWS_PROFILE="mine"
    )
    doctor = await terminal.run("doctor", "--json")
    assert doctor.code == 0, doctor.out + doctor.err
    assert doctor.err == f"using the development stack in {dev.directory}\n"
    tenant_id = dev.endpoints["tenant_id"]
    changed = await terminal.run("plan", "set", tenant_id, "basic")
    assert changed.out == f"changed the plan of {tenant_id} to basic\n"
    assert (await terminal.run("tables", "create")).code == 0
    # Settings of an installation are never mixed with those of the stack.
    other = await terminal.run("doctor", "--json", ARTCAFE_KEYS_DIR=str(tmp_path))
    assert (other.code, other.err.startswith("artcafe: ")) == (5, True)
    mode = stat.S_IMODE((dev.directory / "environment.json").stat().st_mode)
    assert mode == 0o600


async def test_invalid_setting_ends_the_command_with_one_line(tmp_path):
    failed = DevCommand(tmp_path / "stack", ARTCAFE_LOG_LEVEL="loud").start()
    assert await failed.wait_stopped(40) == 1
    (line,) = failed.text.strip().splitlines()
    assert re.match(r"artcafe dev: \w+: ARTCAFE_LOG_LEVEL is not valid: ", line)


async def test_second_stack_in_the_same_directory_is_rejected(dev):
    second = DevCommand(dev.directory).start()
    assert await second.wait_stopped() == 1
    assert second.text.strip() == f"artcafe dev: a stack is already running in {dev.directory}"
    assert dev.endpoints.keys() == ENDPOINTS
    assert dev.pids
    assert await is_healthy(dev.endpoints["api"])


async def test_port_in_use_is_reported(tmp_path):
    base = free_port_base()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 4))
        taken.listen()
        blocked = DevCommand(tmp_path / "stack", base).start()
        assert await blocked.wait_stopped() == 1
    assert len(blocked.text.strip().splitlines()) == 1
    assert str(base + 4) in blocked.text
    assert "ARTCAFE_DEV_PORT_BASE" in blocked.text


async def test_two_stacks_run_side_by_side(dev, tmp_path):
    other = DevCommand(tmp_path / "stack").start()
    try:
        await other.wait_ready()
        assert other.endpoints["tenant_id"] != dev.endpoints["tenant_id"]
        assert await is_healthy(other.endpoints["api"])
        assert await is_healthy(dev.endpoints["api"])
        other.process.send_signal(signal.SIGINT)
        assert await other.wait_stopped() == 0
        assert other.text.rstrip().endswith("Stopped.")
        assert other.is_cleaned_up()
        assert not (other.directory / "endpoints.json").exists()
    finally:
        other.kill()
    assert await is_healthy(dev.endpoints["api"])


async def test_sigint_during_startup_stops_everything(tmp_path):
    early = DevCommand(tmp_path / "stack").start()
    try:
        await eventually((early.directory / "logs").exists)
        # Some servers have started, and others have not.
        await asyncio.sleep(0.5)
        early.children = psutil.Process(early.process.pid).children(recursive=True)
        early.process.send_signal(signal.SIGINT)
        assert await early.wait_stopped() == 0
        assert early.is_cleaned_up()
    finally:
        early.kill()


async def test_killed_stack_leaves_no_process_and_restarts_with_its_data(dev):
    dev.process.kill()
    dev.process.wait()
    # The kernel ends the children with their parent.
    await eventually(dev.is_cleaned_up, within=3)
    assert (dev.directory / "pids.json").exists()
    again = DevCommand(dev.directory, dev.base).start()
    try:
        await again.wait_ready()
        assert again.endpoints.keys() == ENDPOINTS
        again.process.send_signal(signal.SIGTERM)
        assert await again.wait_stopped() == 0
        assert again.is_cleaned_up()
    finally:
        again.kill()


@pytest.mark.parametrize("target", ["dev", "test", "docs", "lint", "setup", "lock", "clean"])
def test_make_target_exists(target):
    result = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
