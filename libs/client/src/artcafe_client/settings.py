"""Where to connect to, and as whom: from the arguments of `connect`, the environment, or a development stack."""

import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from artcafe_client.errors import ConfigurationError
from artcafe_client.offline import Offline

TransportName = Literal["auto", "nats", "websocket"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NATS_SCHEMES = ("nats", "tls")
_WEBSOCKET_SCHEMES = ("ws", "wss", "http", "https")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a client behaves.

    `connect_timeout` bounds the first connection, `attempt_timeout` each attempt, `ack_timeout` the wait for an
    acknowledgement, `drain_timeout` the work that `drain` waits for; all in seconds. `first_backoff` and `max_backoff`
    bound the random delay between attempts. With `sign`, messages over NATS are signed, so that receivers over WebSocket
    see their sender.
    """

    connect_timeout: "float | None" = 10.0
    attempt_timeout: float = 10.0
    ack_timeout: float = 10.0
    drain_timeout: float = 10.0
    first_backoff: float = 0.5
    max_backoff: float = 30.0
    offline: Offline = Offline()
    sign: bool = False
    tracing: "bool | None" = None
    tls: "ssl.SSLContext | None" = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect to, and as whom."""

    client_id: str
    seed: str
    tenant_id: str = ""
    nats_url: str = ""
    websocket_url: str = ""
    transport: TransportName = "auto"

    def __repr__(self) -> str:
        return f"Settings({self.client_id})"


def find_settings(
    *,
    url: "str | None",
    seed: "str | None",
    client_id: "str | None",
    tenant_id: "str | None",
    connection: "Mapping[str, Any] | None",
    transport: TransportName,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """What is given counts first, then `ARTCAFE_*` of the environment, then a development stack on this machine.

    ConfigurationError if something is missing.
    """
    given = _from_url(url) or _from_connection(connection)
    environment = {
        "nats_url": environ.get("ARTCAFE_NATS_URL", ""),
        "websocket_url": environ.get("ARTCAFE_WS", ""),
        "tenant_id": environ.get("ARTCAFE_TENANT", ""),
    }
    if not given:
        given = environment
    if not (given.get("nats_url") or given.get("websocket_url")):
        given = _development_stack(environ)
        if seed is None and client_id is None:
            seed, client_id = given.get("seed"), given.get("client_id")
    settings = Settings(
        client_id=client_id or environ.get("ARTCAFE_CLIENT", ""),
        seed=seed or environ.get("ARTCAFE_SEED", ""),
        tenant_id=tenant_id or given.get("tenant_id") or environment["tenant_id"],
        nats_url=given.get("nats_url", ""),
        websocket_url=given.get("websocket_url", ""),
        transport=transport,
    )
    _require(settings)
    return settings


def _require(settings: Settings) -> None:
    if not settings.seed:
        raise ConfigurationError("the client's seed is missing: pass seed=, or set ARTCAFE_SEED")
    if not settings.client_id and settings.transport != "nats":
        raise ConfigurationError("the client's id is missing: pass client_id=, or set ARTCAFE_CLIENT")
    if settings.transport == "nats" and not (settings.nats_url and settings.tenant_id):
        raise ConfigurationError(
            "direct NATS needs a nats:// address and the organization: pass url= and tenant_id=, or connection="
        )
    if settings.transport == "websocket" and not settings.websocket_url:
        raise ConfigurationError(
            "the WebSocket's address is missing: pass url= or connection=, or set ARTCAFE_WS"
        )
    if not settings.websocket_url and not settings.tenant_id:
        raise ConfigurationError("direct NATS needs the organization: pass tenant_id=, or set ARTCAFE_TENANT")


def _from_url(url: "str | None") -> dict[str, str]:
    if url is None:
        return {}
    scheme = urlsplit(url.split(",")[0]).scheme
    if scheme in _NATS_SCHEMES:
        return {"nats_url": url}
    if scheme in _WEBSOCKET_SCHEMES:
        return {"websocket_url": url}
    raise ConfigurationError(f"{url} is neither a nats://, tls://, ws://, wss:// nor http(s):// address")


def _from_connection(connection: "Mapping[str, Any] | None") -> dict[str, str]:
    """The fields of the `connection` in the answer that creates a client."""
    if connection is None:
        return {}
    return {
        "nats_url": str(connection.get("nats_url", "")),
        "websocket_url": str(connection.get("websocket_url", "")),
        "tenant_id": str(connection.get("subject_prefix", "")).strip(".").rpartition(".")[2],
    }


def _development_stack(environ: Mapping[str, str]) -> dict[str, str]:
    """The addresses and the demo client of the development stack of this directory."""
    file = Path(environ.get("ARTCAFE_DEV_DIR") or ".dev") / "endpoints.json"
    try:
        endpoints = json.loads(file.read_bytes())
        if urlsplit(endpoints["api"]).hostname not in LOOPBACK:
            return {}
        return {
            "nats_url": endpoints["nats"],
            "websocket_url": endpoints["ws"],
            "tenant_id": endpoints["tenant_id"],
            "seed": endpoints["client"]["nkey_seed"],
            "client_id": endpoints["client"]["client_id"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
