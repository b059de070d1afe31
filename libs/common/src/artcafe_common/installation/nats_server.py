"""The configuration file of an installation's nats-server."""

import json
from pathlib import Path

import msgspec

from artcafe_common.installation.private_files import write_private

MAX_PAYLOAD = 1024 * 1024 + 64 * 1024
# How long a connection may take to authenticate, and so how long identity may be away without a client's login being
# refused: libraries take a refusal for a wrong key, and some give up at the second one.
AUTHORIZATION_TIMEOUT_S = 15
# A node that hangs is left after one and a half seconds; nats-server's own default for routes is a minute.
ROUTE_PINGS = 'ping_interval: "500ms", ping_max: 2'
# The operator's and the preloaded accounts' JWTs, which the configuration contains.
ACCOUNTS_FILE = "accounts.json"
CONFIGURATION_FILE = "nats-server.conf"
# Those of all nodes of a cluster, too.
CONFIGURATION_FILES = "nats-server*.conf"


class NatsServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses, ports, storage directory and name of a nats-server.

    `stream_storage` is what its streams may reserve together, such as `2TB`; empty for three quarters of the free disk.
    """

    host: str = "127.0.0.1"
    port: int = 4222
    websocket_port: int = 8443
    monitor_port: int = 8222
    store: Path = Path("/var/lib/nats")
    server_name: str = "nats-1"
    tls: "NatsTls | None" = None
    cluster: "NatsCluster | None" = None
    file: str = CONFIGURATION_FILE
    stream_storage: str = ""


class NatsTls(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate of the server, which then accepts no connection without TLS, of services neither.

    Libraries encrypt when the server requires it. When it only offers TLS, nats-py connects without, whatever the URL.
    """

    certificate: Path
    key: Path


class NatsCluster(msgspec.Struct, frozen=True, kw_only=True):
    """How a node reaches the others of its cluster: the address of its own routes, and those of all nodes.

    With `ca`, every connection of a client or of another node is encrypted, and nodes show each other certificates of
    that authority.
    """

    listen: str
    routes: tuple[str, ...]
    ca: Path | None = None


def _tls(tls: NatsTls | None) -> str:
    if tls is None:
        return ""
    return f"tls {{ {_certificate(tls)}, timeout: 5 }}\n"


def _certificate(tls: NatsTls) -> str:
    return f'cert_file: "{tls.certificate}", key_file: "{tls.key}"'


def _cluster(server: NatsServerConfig) -> str:
    cluster = server.cluster
    if cluster is None:
        return ""
    routes = ", ".join(f'"nats-route://{route}"' for route in cluster.routes)
    tls = (
        ""
        if server.tls is None or cluster.ca is None
        else f', tls {{ {_certificate(server.tls)}, ca_file: "{cluster.ca}", verify: true, timeout: 5 }}'
    )
    return (
        f'cluster {{ name: artcafe, listen: "{cluster.listen}", routes: [{routes}], {ROUTE_PINGS}{tls} }}\n'
    )


def write_server_configuration(directory: Path, server: NatsServerConfig) -> Path:
    """Write the configuration of a server of an installation; idempotent, keys are not changed."""
    accounts = json.loads((directory / ACCOUNTS_FILE).read_text())
    preload = "\n".join(f"  {public}: {jwt}" for public, jwt in accounts["preload"].items())
    path = directory / server.file
    reserved = f", max_file_store: {server.stream_storage}" if server.stream_storage else ""
    encrypted = server.cluster is not None and server.cluster.ca is not None
    websocket = f"tls {{ {_certificate(server.tls)} }}" if encrypted and server.tls else "no_tls: true"
    write_private(
        path,
        f"""# Written by `artcafe bootstrap`.
server_name: {server.server_name}
listen: "{server.host}:{server.port}"
http: "127.0.0.1:{server.monitor_port}"
max_payload: {MAX_PAYLOAD}
max_control_line: 8192
ping_interval: "20s"
ping_max: 2
{_tls(server.tls)}{_cluster(server)}websocket {{ listen: "{server.host}:{server.websocket_port}", {websocket} }}
authorization {{ timeout: {AUTHORIZATION_TIMEOUT_S} }}
jetstream {{ store_dir: "{server.store / "jetstream"}"{reserved} }}

operator: {accounts["operator"]}
system_account: {accounts["system"]}
resolver: {{ type: full, dir: "{server.store / "accounts"}", allow_delete: true, interval: "2m" }}
resolver_preload: {{
{preload}
}}
# A client that presents only an NKey, or nothing, connects as this user, which has no permissions;
# the server then asks identity's auth callout.
default_sentinel: {accounts["sentinel"]}
""",
    )
    return path
