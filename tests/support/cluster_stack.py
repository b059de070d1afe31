"""A stack whose broker is a cluster of three nats-servers, in which every connection is encrypted."""

import asyncio
import ssl

import httpx
import msgspec

from artcafe_common.dev.stack import LOOPBACK, Stack
from artcafe_common.installation.certificates import create_certificates
from artcafe_common.installation.cluster import CA_FILE, Node, configure_nodes
from support.stack import free_ports

NODES = ("nats-1", "nats-2", "nats-3")


class ClusterStack(Stack):
    """Streams have three replicas, and every process knows all three servers."""

    def __init__(self, directory, ports, *, settings=None):
        super().__init__(directory, ports, settings=settings)
        self.servers = (*NODES, *(name for name in self.servers if name != "nats"))
        self.ca_file = directory / "certificates" / CA_FILE
        others = [ports, free_ports(), free_ports()]
        routes = free_ports()
        self._nodes = [
            Node(name=name, host=self.address(name), route_port=route)
            for name, route in zip(NODES, (routes.api, routes.redis, routes.moto), strict=True)
        ]
        configs = configure_nodes(
            self._nodes, super().nats_servers()[0], certificates=directory / "certificates"
        )
        self._configs = [
            msgspec.structs.replace(
                config, port=ports.nats, websocket_port=ports.nats_ws, monitor_port=ports.nats_monitor
            )
            for config, ports in zip(configs, others, strict=True)
        ]
        self.node_urls = {
            config.server_name: f"tls://{config.host}:{config.port}" for config in self._configs
        }
        self.stores = {config.server_name: config.store for config in self._configs}
        # The ports of all gateways.
        self.gateways = [ports.api]

    def address(self, node):
        """The address at which a node listens."""
        del node
        return LOOPBACK

    def prepare(self):
        create_certificates(self.ca_file.parent, self._nodes)
        super().prepare()

    def nats_servers(self):
        return self._configs

    def create_tls(self):
        """What a client needs to trust the cluster."""
        return ssl.create_default_context(cafile=self.ca_file)

    def environ(self, service=""):
        return {
            **super().environ(service),
            "NATS_URL": ",".join(self.node_urls.values()),
            "ARTCAFE_PUBLIC_NATS_URL": next(iter(self.node_urls.values())),
            "ARTCAFE_STREAM_REPLICAS": "3",
            "ARTCAFE_CA_FILE": str(self.ca_file),
            **self.settings,
        }

    def _server_command(self, name):
        if name not in NODES:
            return super()._server_command(name)
        program, option, _ = super()._server_command("nats")
        return [program, option, str(self.directory / f"keys/nats-server-{name}.conf")]

    async def is_healthy(self):
        """Whether each node has caught up, and both gateways reach all services."""
        urls = [f"http://{LOOPBACK}:{port}/api/v1/health" for port in self.gateways]
        nodes = [self.is_node_healthy(server) for server in self.nats_servers()]
        return all(await asyncio.gather(*nodes, *map(_is_ok, urls)))

    async def is_node_healthy(self, server):
        """Whether a node has caught up."""
        return await _is_ok(f"http://{LOOPBACK}:{server.monitor_port}/healthz")


async def _is_ok(url):
    async with httpx.AsyncClient(timeout=3) as http:
        try:
            return (await http.get(url)).json()["status"] == "ok"
        except (httpx.HTTPError, ValueError):
            return False
