"""A stack that begins with one nats-server and becomes a cluster of three."""

from artcafe_common.dev.stack import SERVICES, Stack
from artcafe_common.installation.nats_server import write_server_configuration
from support.cluster_stack import NODES, ClusterStack


class GrowingStack(ClusterStack):
    """One server without TLS at first; a cluster with TLS after `configure_cluster`."""

    def __init__(self, directory, ports, *, settings=None):
        super().__init__(directory, ports, settings=settings)
        self._is_cluster = False
        self.servers = ("nats", "redis", "moto")

    def nats_servers(self):
        return super().nats_servers() if self._is_cluster else Stack.nats_servers(self)

    def environ(self, service=""):
        return super().environ(service) if self._is_cluster else Stack.environ(self, service)

    def configure_cluster(self):
        """What `artcafe bootstrap --configuration-only --cluster` does; each node has an empty directory."""
        self._is_cluster = True
        self.servers = (*NODES, *self.servers)
        for config in self.nats_servers():
            write_server_configuration(self.directory / "keys", config)

    async def stop_services(self, *names):
        for name in names or SERVICES:
            await self.supervisor.stop(name)
