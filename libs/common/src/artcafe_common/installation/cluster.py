"""The configurations of the servers of a cluster."""

import re
from collections import Counter
from pathlib import Path

import msgspec

from artcafe_common.installation.nats_server import NatsCluster, NatsServerConfig, NatsTls

_NODE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9-]{0,31})=(?P<host>[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})"
)
CA_FILE = "ca.pem"
MIN_NODES = 3


class ClusterError(ValueError):
    """The description of a cluster is not valid; the message says why in one line."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A server of a cluster, and the address of its routes."""

    name: str
    host: str
    route_port: int

    @property
    def route(self) -> str:
        """The address that the other nodes connect to."""
        return f"{self.host}:{self.route_port}"


def parse_cluster(text: str) -> list[Node]:
    """The nodes of `n1=host:port,n2=host:port,…`. Raises ClusterError."""
    nodes = []
    for part in text.split(","):
        match = _NODE.fullmatch(part.strip())
        if match is None or not 0 < int(match["port"]) < 1 << 16:
            raise ClusterError(f"{part.strip()!r} is not of the form name=host:port")
        nodes.append(Node(name=match["name"], host=match["host"], route_port=int(match["port"])))
    if len({node.name for node in nodes}) < len(nodes) or len({node.route for node in nodes}) < len(nodes):
        raise ClusterError("two nodes have the same name or address")
    if len(nodes) < MIN_NODES or not len(nodes) % 2:
        raise ClusterError(
            "a cluster has 3, 5 or another odd number of nodes: with an even one, it survives no more"
        )
    return nodes


def configure_nodes(
    nodes: list[Node], base: NatsServerConfig, *, host: str = "", certificates: Path | None = None
) -> list[NatsServerConfig]:
    """The configuration of each node; nodes of one host get consecutive ports and directories of their own.

    They listen on `host`, by default each on its own. `certificates` has `ca.pem`, and `NAME.pem` and `NAME-key.pem` of each node.
    """
    seen: Counter[str] = Counter()
    shared = Counter(node.host for node in nodes)
    configs = []
    for node in nodes:
        offset = seen[node.host]
        seen[node.host] += 1
        tls = certificates and NatsTls(
            certificate=certificates / f"{node.name}.pem", key=certificates / f"{node.name}-key.pem"
        )
        configs.append(
            msgspec.structs.replace(
                base,
                host=host or node.host,
                port=base.port + offset,
                websocket_port=base.websocket_port + offset,
                monitor_port=base.monitor_port + offset,
                store=base.store / node.name if shared[node.host] > 1 else base.store,
                server_name=node.name,
                tls=tls,
                cluster=NatsCluster(
                    listen=node.route,
                    routes=tuple(each.route for each in nodes),
                    ca=certificates and certificates / CA_FILE,
                ),
                file=f"nats-server-{node.name}.conf",
            )
        )
    return configs
