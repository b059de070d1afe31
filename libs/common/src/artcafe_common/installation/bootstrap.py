"""The keys, credentials and server configuration that a new installation needs, made once.

One directory holds everything; each service needs only its own files of it (docs/operate/install.md).
What each service may do on the bus is decided here, as little as it needs.
"""

import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from artcafe_common.broker.claims import (
    AccountClaims,
    AccountLimits,
    Authorization,
    Claims,
    Credentials,
    Export,
    OperatorClaims,
    Permission,
    ResponsePermission,
    UserClaims,
    encode,
)
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create
from artcafe_common.bus.client import EVENTS_STREAM, inbox_prefix
from artcafe_common.contracts.ingest import INGEST_STREAM
from artcafe_common.settings import read_key

# Which services each service calls, and what it announces; the rest is denied.
CALLS: Mapping[str, tuple[str, ...]] = {
    "gateway": ("identity", "tenancy", "presence", "metering", "gateway"),
    "identity": ("tenancy",),
    "tenancy": ("identity",),
    "presence": (),
    "metering": ("identity", "tenancy"),
    "admin": ("identity", "tenancy", "presence", "metering"),
}
ANNOUNCES: Mapping[str, tuple[str, ...]] = {
    "gateway": ("connection", "usage", "activity", "subscription"),
    "identity": ("activity",),
    "tenancy": ("agent", "client", "member", "channel", "subject", "account", "activity"),
    "presence": ("presence",),
    "metering": ("quota",),
    "admin": (),
}
# The durable consumers of events that a service has, besides the one of its name.
MORE_CONSUMERS: Mapping[str, tuple[str, ...]] = {"tenancy": ("tenancy-streams",)}
# Only the tenant's own key part of the subject reaches its account, see `tenant_account`.
NOTICES = "artcafe.tenant.*.presence.*"
INGEST = "artcafe.ingest.*.>"
_ACCOUNT_EVENTS = ["$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT"]
_SYSTEM: Mapping[str, tuple[list[str], list[str]]] = {
    # service: (publish, subscribe) in the system account
    "identity": (
        [
            "$SYS.REQ.CLAIMS.*",
            "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
            "$SYS.REQ.SERVER.PING.CONNZ",
            "$SYS.REQ.SERVER.*.KICK",
        ],
        [],
    ),
    "presence": (["$SYS.REQ.SERVER.PING.CONNZ"], _ACCOUNT_EVENTS),
    "metering": (["$SYS.REQ.SERVER.PING.CONNZ"], _ACCOUNT_EVENTS),
}
_UNLIMITED = AccountLimits(mem_storage=-1, disk_storage=-1, streams=-1, consumer=-1)
MAX_PAYLOAD = 1024 * 1024 + 64 * 1024


class PlatformKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The public keys of an installation, in `platform.json`."""

    operator: str
    system_account: str
    callout_account: str
    platform_account: str


class NatsServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the nats-server of the written configuration listens and stores."""

    host: str = "127.0.0.1"
    port: int = 4222
    websocket_port: int = 8443
    monitor_port: int = 8222
    store: Path = Path("/var/lib/nats")
    server_name: str = "nats-1"


def bootstrap(directory: Path, listen: NatsServerConfig) -> PlatformKeys:
    """Write keys, credentials and `nats-server.conf`; FileExistsError rather than overwrite keys."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (directory / "platform.json").exists():
        raise FileExistsError(f"{directory} holds an installation's keys already")
    now = int(time.time())
    operator = create(KeyKind.OPERATOR)
    system, callout, platform = (create(KeyKind.ACCOUNT) for _ in range(3))

    def user(account: KeyPair, name: str, claims: UserClaims) -> tuple[str, Credentials]:
        pair = create(KeyKind.USER)
        jwt = encode(claims, issuer=account, subject=pair.public, name=name, issued_at=now)
        return pair.public, Credentials(jwt=jwt, seed=pair.seed)

    def account(pair: KeyPair, name: str, claims: Claims) -> str:
        return encode(claims, issuer=operator, subject=pair.public, name=name, issued_at=now)

    callout_user, callout_credentials = user(
        callout,
        "identity",
        UserClaims(
            pub=Permission(deny=[">"]),
            sub=Permission(allow=["$SYS.REQ.USER.AUTH", f"{inbox_prefix('identity')}.>"]),
            resp=ResponsePermission(max=1, ttl=10**10),
        ),
    )
    _, sentinel = user(
        callout,
        "sentinel",
        UserClaims(bearer_token=True, pub=Permission(deny=[">"]), sub=Permission(deny=[">"])),
    )
    written = {
        "identity-callout.creds": callout_credentials.render(),
        "operator.nk": operator.seed,
        "callout.nk": callout.seed,
        "sealing.key": secrets.token_hex(32),
        "agent-token.key": secrets.token_hex(32),
        "cursor.key": secrets.token_hex(32),
        "answers.key": secrets.token_hex(32),
    }
    for service in CALLS:
        written[f"{service}.creds"] = user(platform, service, service_permissions(service))[1].render()
    for service, (publish, subscribe) in _SYSTEM.items():
        claims = UserClaims(
            pub=Permission(allow=publish),
            sub=Permission(allow=[*subscribe, f"{inbox_prefix(service)}.>"]),
        )
        written[f"{service}-system.creds"] = user(system, service, claims)[1].render()
    jwts = {
        system.public: account(system, "SYS", AccountClaims(limits=AccountLimits())),
        callout.public: account(
            callout,
            "AUTH",
            AccountClaims(
                limits=AccountLimits(),
                authorization=Authorization(auth_users=[callout_user], allowed_accounts=["*"]),
            ),
        ),
        platform.public: account(
            platform,
            "PLATFORM",
            AccountClaims(
                limits=_UNLIMITED,
                exports=[
                    Export(name="ingest", subject=INGEST, type="service", account_token_position=3),
                    Export(name="notices", subject=NOTICES, type="stream", account_token_position=3),
                ],
            ),
        ),
    }
    operator_jwt = account(operator, "ArtCafe", OperatorClaims(system_account=system.public))
    keys = PlatformKeys(
        operator=operator.public,
        system_account=system.public,
        callout_account=callout.public,
        platform_account=platform.public,
    )
    written["accounts.json"] = json.dumps(
        {"operator": operator_jwt, "preload": jwts, "sentinel": sentinel.jwt, "system": system.public}
    )
    for name, text in written.items():
        _write(directory / name, text)
    write_server_configuration(directory, listen)
    _write(directory / "platform.json", json.dumps(msgspec.to_builtins(keys), indent=2))
    return keys


def write_server_configuration(directory: Path, listen: NatsServerConfig) -> Path:
    """Write `nats-server.conf` for an installation; it can be written anew at any time."""
    made = json.loads((directory / "accounts.json").read_text())
    preload = "\n".join(f"  {public}: {jwt}" for public, jwt in made["preload"].items())
    path = directory / "nats-server.conf"
    _write(
        path,
        f"""# Written by `artcafe bootstrap`.
server_name: {listen.server_name}
listen: "{listen.host}:{listen.port}"
http: "127.0.0.1:{listen.monitor_port}"
max_payload: {MAX_PAYLOAD}
max_control_line: 8192
ping_interval: "20s"
ping_max: 2
websocket {{ listen: "{listen.host}:{listen.websocket_port}", no_tls: true }}
jetstream {{ store_dir: "{listen.store / "jetstream"}" }}

operator: {made["operator"]}
system_account: {made["system"]}
resolver: {{ type: full, dir: "{listen.store / "accounts"}", allow_delete: true, interval: "2m" }}
resolver_preload: {{
{preload}
}}
# Whoever shows only an NKey, or nothing, is handed to identity under this powerless user.
default_sentinel: {made["sentinel"]}
""",
    )
    return path


def service_permissions(service: str) -> UserClaims:
    """What a service may do in the platform's account."""
    streams = {EVENTS_STREAM: True, INGEST_STREAM: service == "metering"}
    publish = [f"artcafe.{callee}.>" for callee in CALLS[service]]
    publish += [f"artcafe.events.{what}.*" for what in ANNOUNCES[service]]
    for stream, used in streams.items():
        if not used:
            continue
        publish += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE")]
        for durable in (service, *MORE_CONSUMERS.get(service, ())):
            publish += [
                f"$JS.API.CONSUMER.CREATE.{stream}.{durable}",
                f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.>",
                f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable}",
                f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
                f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
                f"$JS.ACK.{stream}.{durable}.>",
            ]
    subscribe = [f"{inbox_prefix(service)}.>", f"artcafe.{service}.>", "$SRV.>", "artcafe.events.>"]
    if service == "presence":
        publish.append(NOTICES)
        subscribe.append("artcafe.ingest.>")
    if service == "admin":
        publish += ["$SRV.>", f"$JS.API.STREAM.INFO.{INGEST_STREAM}"]
        subscribe = [f"{inbox_prefix(service)}.>"]
    return UserClaims(
        pub=Permission(allow=publish),
        sub=Permission(allow=subscribe),
        resp=ResponsePermission(max=1, ttl=60 * 10**9),
    )


def load_platform_keys(directory: Path) -> PlatformKeys:
    """The public keys of an installation."""
    return msgspec.json.decode(read_key(directory / "platform.json"), type=PlatformKeys)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
