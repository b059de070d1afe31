"""A cluster with two of each service, a Redis with Sentinels, and a disk and a network for one node each."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys

from artcafe_common.dev.stack import SERVICES
from artcafe_common.dev.supervisor import Program
from support import namespace
from support.cluster_stack import NODES, ClusterStack
from support.sentinel_stack import SentinelStack
from support.stack import free_ports

# JetStream reserves what the plans promise. Memory is used only for what is stored.
DISK_BYTES = 256 * 2**30
FREE_BYTES = 65536
# The node whose data lies on a disk of its own.
OWN_DISK_NODE = NODES[-1]
# The node that the others, the services and the clients reach by one link.
OWN_NETWORK_NODE = NODES[1]
SECOND = "-copy"


class ChaosStack(SentinelStack, ClusterStack):
    """`gateway-copy` and so on are second copies; the second gateway has a port of its own."""

    def __init__(self, directory, ports, *, settings=None):
        self.network = namespace.Namespace() if namespace.is_available() else None
        super().__init__(directory, ports, settings=settings)
        self.gateways = [ports.api, free_ports().api]
        self._disk = self.stores[OWN_DISK_NODE]
        self._mounted = False

    def prepare(self):
        if self._disk.is_mount():  # of a run that was killed
            subprocess.run(["umount", "--lazy", str(self._disk)], check=False)
        super().prepare()
        self._disk.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self._mounted = self._mount("rw", DISK_BYTES)

    @property
    def has_own_disk(self):
        """Whether this process may mount one."""
        return self._mounted

    def address(self, node):
        if self.network is None:
            return super().address(node)
        return namespace.ADDRESS if node == OWN_NETWORK_NODE else namespace.OUTER_ADDRESS

    def _server_command(self, name):
        command = super()._server_command(name)
        if self.network is None or name != OWN_NETWORK_NODE:
            return command
        return self.network.command(command)

    async def is_healthy(self):
        # Without its replica, Redis would not survive the next fault.
        return await super().is_healthy() and await self.find_replicated_primary() is not None

    async def is_node_healthy(self, server):
        if self.network is None or server.server_name != OWN_NETWORK_NODE:
            return await super().is_node_healthy(server)
        # Its monitoring listens on loopback, of which the namespace has its own.
        url = f"http://127.0.0.1:{server.monitor_port}/healthz"
        command = self.network.command(["curl", "--silent", "--max-time", "3", url])
        asked = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        answer, _ = await asked.communicate()
        return b'"status":"ok"' in answer.replace(b" ", b"")

    async def up(self, report=lambda _: None):
        await super().up(report)
        for service in SERVICES:
            self.start(service + SECOND)
        self.write_pids()

    def start(self, name):
        service = name.removesuffix(SECOND)
        if service == name:
            super().start(name)
            return
        environ = {**self.environ(name), "ARTCAFE_PORT": str(self.gateways[1])}
        self.supervisor.start(
            Program(
                name=name,
                command=[sys.executable, "-m", f"artcafe_{service}"],
                environ=environ,
                log=self.directory / "logs" / f"{name}.log",
            )
        )

    async def kill(self, name):
        """Kill a process, which stays away until `start`."""
        await self.supervisor.stop(name, how=signal.SIGKILL)

    def fill_disk(self):
        """Leave next to nothing free on the disk, whose size follows what it contains."""
        self._mount("remount", shutil.disk_usage(self._disk).used + FREE_BYTES)

    def free_disk(self):
        self._mount("remount", DISK_BYTES)

    def _mount(self, option, size):
        command = ["mount", "-t", "tmpfs", "-o", f"{option},size={size}", "tmpfs", str(self._disk)]
        return subprocess.run(command, check=False).returncode == 0

    async def down(self):
        await super().down()
        if self._mounted:
            await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(self._disk)], check=False)
            self._mounted = False
        if self.network is not None:
            self.network.remove()
