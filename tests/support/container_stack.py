"""A stack whose servers run in containers instead of processes; the services stay processes of this machine.

It behaves as the one of processes does: ports, files and logs are in the same places, and a server that ends is
started again.
"""

import asyncio
import os
import signal
import threading
from contextlib import suppress

import docker.errors
import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError
from testcontainers.core.container import DockerContainer

from artcafe_common.dev import moto
from artcafe_common.dev.stack import LOOPBACK, READY_WITHIN_S, SERVERS, Stack
from artcafe_common.dev.supervisor import MIN_BACKOFF_S, STOP_TIMEOUT_S, Supervisor
from support.raw_nats import RawNats

IMAGES = {"nats": "nats:2", "redis": "valkey/valkey:8", "moto": "motoserver/moto:5"}
_ANY = "0.0.0.0"
_AWS_SERVER = "/opt/aws_server.py"


class ContainerStack(Stack):
    """A stack that runs its servers by testcontainers."""

    def __init__(self, directory, ports, *, settings=None):
        super().__init__(directory, ports, settings=settings)
        self.supervisor = ContainerSupervisor()

    def prepare(self):
        super().prepare()
        configuration = self.directory / "keys/nats-server.conf"
        # Inside a container, loopback cannot be published.
        configuration.write_text(configuration.read_text().replace(f'"{LOOPBACK}:', f'"{_ANY}:'))

    def start(self, name):
        if name not in SERVERS:
            super().start(name)
            return
        self.supervisor.start_container(name, self._create(name), self.directory / "logs" / f"{name}.log")

    def _create(self, name):
        ports = {
            "nats": (self.ports.nats, self.ports.nats_ws, self.ports.nats_monitor),
            "redis": (self.ports.redis,),
            "moto": (self.ports.moto,),
        }
        container = DockerContainer(IMAGES[name]).with_command(self._arguments(name)).with_env("HOME", "/tmp")
        container.ports = {f"{port}/tcp": (LOOPBACK, port) for port in ports[name]}
        # At the same path as outside.
        container.with_volume_mapping(str(self.directory), str(self.directory), "rw")
        options = {"user": f"{os.getuid()}:{os.getgid()}"}
        if name == "moto":
            container.with_volume_mapping(moto.__file__, _AWS_SERVER, "ro")
            options["entrypoint"] = ["python", _AWS_SERVER]
        return container.with_kwargs(restart_policy={"Name": "on-failure"}, **options)

    def _arguments(self, name):
        _, *arguments = self._server_command(name)
        if name == "nats":
            return arguments
        if name == "redis":
            bound = [_ANY if word == LOOPBACK else word for word in arguments]
            return ["valkey-server", "--protected-mode", "no", *bound]
        return [str(self.ports.moto), "--host", _ANY]

    async def wait_for_servers(self):
        """Wait for answers: the engine accepts connections before a server does."""
        await self._wait_for(self._nats_answers, self._redis_answers, self._moto_answers)

    async def provision(self):
        await self._wait_for(self._moto_answers)
        await super().provision()

    async def _wait_for(self, *checks):
        async with asyncio.timeout(READY_WITHIN_S):
            for answers in checks:
                while not await answers():
                    self.supervisor.raise_failures()
                    await asyncio.sleep(0.05)

    async def _nats_answers(self):
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(2), await RawNats.open(LOOPBACK, self.ports.nats) as raw:
                return bool(raw)
        return False

    async def _redis_answers(self):
        with suppress(RedisError, OSError):
            async with Redis(port=self.ports.redis, socket_timeout=2) as redis:
                return await redis.ping()
        return False

    async def _moto_answers(self):
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=2) as http:
                return (await http.get(f"{self.aws_url}/moto-api/")).is_success
        return False


class ContainerSupervisor(Supervisor):
    """Supervises containers too."""

    def __init__(self):
        super().__init__()
        self._starting = {}
        self._containers = {}
        self._restarts = set()

    def start_container(self, name, container, log):
        """Start a container; it is started again when it fails, as a process is."""
        if name in self._starting:
            raise ValueError(f"{name} is already running")

        def start():
            container.start()
            self._containers[name] = container.get_wrapped_container()
            self._follow(name, log)

        self._starting[name] = asyncio.get_running_loop().run_in_executor(None, start)

    def _follow(self, name, log):
        def follow(output):
            with log.open("ab") as file:
                for chunk in output:
                    file.write(chunk)
                    file.flush()

        output = self._containers[name].logs(stream=True, follow=True)
        threading.Thread(target=follow, args=(output,), daemon=True).start()

    def raise_failures(self):
        """Raise what kept a container from starting."""
        for starting in self._starting.values():
            if starting.done():
                starting.result()

    async def stop(self, name, *, how=signal.SIGTERM, within_s=STOP_TIMEOUT_S):
        starting = self._starting.pop(name, None)
        if starting is None:
            await super().stop(name, how=how, within_s=within_s)
            return
        await asyncio.wait({starting})
        container = self._containers.pop(name, None)
        if container is not None:
            await asyncio.to_thread(_end, container, how, within_s)

    def kill(self, name):
        container = self._containers.get(name)
        if container is None:
            return super().kill(name)
        pid = self.pid(name)
        container.kill()
        restart = asyncio.create_task(self._restart(name, container))
        self._restarts.add(restart)
        restart.add_done_callback(self._restarts.discard)
        return pid

    async def _restart(self, name, container):
        await asyncio.sleep(MIN_BACKOFF_S)
        if self._containers.get(name) is container:
            await asyncio.to_thread(container.start)

    def pid(self, name):
        container = self._containers.get(name)
        if container is None:
            return super().pid(name)
        container.reload()
        return container.attrs["State"]["Pid"] or None

    @property
    def names(self):
        return [*super().names, *self._starting]


def _end(container, how, within_s=STOP_TIMEOUT_S):
    with suppress(docker.errors.APIError):  # it may have ended already
        if how is signal.SIGTERM:
            container.stop(timeout=max(1, int(within_s)))
        else:
            container.kill(how.name)
    container.remove(v=True, force=True)
