"""Centrifugo, a peer of the benchmark: built from its Go module where Go is present, with a broker of its own."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from artcafe_common.broker.nkeys import KeyPair
from artcafe_common.dev.supervisor import Program
from support.stack import free_ports

MODULE, VERSION = "github.com/centrifugal/centrifugo/v6", "v6.9.1"
# Ignored by git, and kept between runs: building takes minutes.
CACHE = Path(__file__).parents[2] / ".dev/centrifugo"
SECRET = "benchmark"
TOKEN_S = 24 * 3600
START_TIMEOUT_S = 20
NEVER_S = "3600s"


class NotAvailable(Exception):
    """Centrifugo cannot be built here."""


def build():
    """The executable, which is built on first use; NotAvailable says why it cannot be."""
    executable = CACHE / VERSION / "centrifugo"
    if executable.exists():
        return executable
    go = shutil.which("go")
    if go is None:
        raise NotAvailable("Go is not installed")
    print(f"building Centrifugo {VERSION}, which takes some minutes", flush=True)
    environ = {**os.environ, "GOBIN": str(executable.parent), "CGO_ENABLED": "0"}
    built = subprocess.run(
        [go, "install", f"{MODULE}@{VERSION}"], env=environ, capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise NotAvailable(f"go install failed: {built.stderr.strip()[-200:]}")
    return executable


class Centrifugo:
    """A Centrifugo with its memory engine, or with NATS as its broker, under the stack's supervisor."""

    def __init__(self, environment, engine):
        self.name = f"centrifugo-{engine}"
        self.engine = engine
        self._environment = environment
        self._directory = environment.stack.directory / self.name
        ports = free_ports()
        self.port, self.nats_port = ports.api, ports.nats
        self.url = f"ws://127.0.0.1:{self.port}/connection/websocket"

    @property
    def processes(self):
        """The names of its processes."""
        return [self.name, f"{self.name}-nats"] if self.engine == "nats" else [self.name]

    @property
    def source(self):
        """What connects a publisher to it."""
        agent = self._environment.tenant.agents[0]
        if self.engine == "nats":
            return {"port": self.nats_port, "seed": agent["seed"]}
        return {"websocket": self.url, "agent": agent}

    async def start(self):
        """Start it and wait until it answers; NotAvailable."""
        executable = build()
        self._directory.mkdir(exist_ok=True)
        configuration = self._directory / "config.json"
        configuration.write_text(json.dumps(self._configuration()))
        if self.engine == "nats":
            self._start_nats()
        self._run(self.name, [str(executable), "--config", str(configuration)])
        ends_at = time.monotonic() + START_TIMEOUT_S
        while not await self._environment.accepts(self.port):
            if time.monotonic() > ends_at:
                raise NotAvailable(f"{self.name} does not start; see its log")

    async def stop(self):
        for name in self.processes:
            await self._environment.stack.supervisor.stop(name)

    def _run(self, name, command):
        log = self._environment.stack.directory / "logs" / f"{name}.log"
        self._environment.stack.supervisor.start(
            Program(name=name, command=command, environ=dict(os.environ), log=log)
        )

    def _start_nats(self):
        # The publisher logs in with a key, as at the platform's broker.
        key = KeyPair(self._environment.tenant.agents[0]["seed"]).public
        configuration = self._directory / "nats-server.conf"
        users = f'{{ nkey: "{key}" }}, {{ user: centrifugo, password: {SECRET} }}'
        configuration.write_text(
            f"listen: 127.0.0.1:{self.nats_port}\nauthorization {{ users: [ {users} ] }}\n"
        )
        server = str(Path(sys.executable).parent / "nats-server")
        self._run(f"{self.name}-nats", [server, "--config", str(configuration)])

    def _configuration(self):
        configuration = {
            "http_server": {"address": "127.0.0.1", "port": self.port},
            "log": {"level": "error"},
            "client": {
                "allowed_origins": ["*"],
                "token": {"hmac_secret_key": SECRET},
                # The sockets that only count answer no ping.
                "ping_interval": NEVER_S,
                "pong_timeout": "8s",
                "queue_max_size": 64 * 1024 * 1024,
            },
            "websocket": {"message_size_limit": 1024 * 1024, "write_timeout": "10s"},
            "channel": {
                "without_namespace": {
                    "allow_subscribe_for_client": True,
                    "allow_publish_for_client": True,
                    "allow_publish_for_subscriber": True,
                }
            },
        }
        if self.engine == "nats":
            url = f"nats://centrifugo:{SECRET}@127.0.0.1:{self.nats_port}"
            # Raw: a channel is a subject, and a message is its payload.
            configuration["broker"] = {
                "enabled": True,
                "type": "nats",
                "nats": {"url": url, "raw_mode": {"enabled": True}},
            }
        return configuration


def create_token(user):
    """A token (JWT, HS256) of a user."""
    signed = b".".join(
        _encode(each)
        for each in ({"alg": "HS256", "typ": "JWT"}, {"sub": user, "exp": int(time.time()) + TOKEN_S})
    )
    signature = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + _base64(signature)).decode()


def _encode(part):
    return _base64(json.dumps(part).encode())


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")
