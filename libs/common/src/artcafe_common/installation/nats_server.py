"""The configuration file of an installation's nats-server."""

import json
from pathlib import Path

import msgspec

from artcafe_common.installation.private_files import write_private

MAX_PAYLOAD = 1024 * 1024 + 64 * 1024
# The operator's and the preloaded accounts' JWTs, which the configuration contains.
ACCOUNTS_FILE = "accounts.json"


class NatsServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses, ports, storage directory and name of a nats-server."""

    host: str = "127.0.0.1"
    port: int = 4222
    websocket_port: int = 8443
    monitor_port: int = 8222
    store: Path = Path("/var/lib/nats")
    server_name: str = "nats-1"


def write_server_configuration(directory: Path, server: NatsServerConfig) -> Path:
    """Write `nats-server.conf` for an installation; idempotent, keys are not changed."""
    accounts = json.loads((directory / ACCOUNTS_FILE).read_text())
    preload = "\n".join(f"  {public}: {jwt}" for public, jwt in accounts["preload"].items())
    path = directory / "nats-server.conf"
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
websocket {{ listen: "{server.host}:{server.websocket_port}", no_tls: true }}
jetstream {{ store_dir: "{server.store / "jetstream"}" }}

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
