"""A cluster of three brokers with two gateways, in which every connection between hosts is encrypted."""

import asyncio
import contextlib
import sys

import psutil

from artcafe_common.dev.stack import LOOPBACK
from artcafe_common.dev.supervisor import Program
from support.cluster_stack import ClusterStack
from support.stack import free_ports
from support.tls_front import tls_front

SECOND_GATEWAY = "gateway-2"


class SecureStack(ClusterStack):
    """Redis listens on a socket of its host only; what ends TLS for it listens on the network."""

    def __init__(self, directory, ports, *, settings=None):
        super().__init__(directory, ports, settings=settings)
        self.second_api = free_ports().api
        self._front = contextlib.AsyncExitStack()

    @property
    def redis_socket(self):
        return str(self.directory / "redis.sock")

    def environ(self, service=""):
        return {**super().environ(service), "REDIS_URL": f"rediss://{LOOPBACK}:{self.ports.redis}/0"}

    def _server_command(self, name):
        command = super()._server_command(name)
        if name == "redis":
            command[command.index("--port") + 1] = "0"
            command += ["--unixsocket", self.redis_socket]
        return command

    async def provision(self):
        certificates = self.ca_file.parent
        await self._front.enter_async_context(
            tls_front(
                certificates / "nats-1.pem",
                certificates / "nats-1-key.pem",
                lambda: asyncio.open_unix_connection(self.redis_socket),
                port=self.ports.redis,
            )
        )
        await super().provision()

    async def down(self):
        await super().down()
        await self._front.aclose()

    async def start_second_gateway(self):
        """A gateway of another host."""
        environ = {
            **self.environ("gateway"),
            "ARTCAFE_PORT": str(self.second_api),
            "ARTCAFE_SERVER_ID": "second",
            "ARTCAFE_METRICS_PORT": "0",
        }
        log = self.directory / "logs" / f"{SECOND_GATEWAY}.log"
        command = [sys.executable, "-m", "artcafe_gateway"]
        self.supervisor.start(Program(name=SECOND_GATEWAY, command=command, environ=environ, log=log))

    def list_listeners(self):
        """Each port that a process of the stack listens on, with its address and the program's name."""
        listeners = {}
        for name in self.supervisor.names:
            process = psutil.Process(self.supervisor.pid(name))
            for each in (process, *process.children(recursive=True)):
                for connection in each.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        listeners[connection.laddr.port] = (name, connection.laddr.ip)
        return listeners


async def answers_plaintext(port):
    """What a port answers to commands in plaintext that a server without TLS would serve; empty if nothing."""
    answers = b""
    for request in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b'CONNECT {"verbose":true}\r\nPING\r\n',
        b"PING\r\n",
    ):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(request)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1):
                while line := await reader.readline():
                    # A nats-server describes itself first, and begins TLS then.
                    if not line.startswith(b"INFO "):
                        answers += line
        writer.transport.abort()
    return answers
