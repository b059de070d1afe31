"""Settings of the gateway, from environment variables."""

import functools
import ipaddress
import re
from typing import Annotated, ClassVar, Literal

from artcafe_common.processors import count_processors
from artcafe_common.settings import (
    MAX_PORT,
    NATS_SCHEMES,
    REDIS_SCHEMES,
    ServiceSettings,
    SettingsError,
    env,
)

# A port, but no path; browsers send the host in lower case.
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """One field per variable."""

    shorter_than: ClassVar[dict[str, str]] = {"heartbeat_interval_s": "heartbeat_timeout_s"}

    host: Annotated[str, env("Address that the HTTP and WebSocket server listens on.")] = "127.0.0.1"
    port: Annotated[int, env("Port that the HTTP and WebSocket server listens on.", ge=1, le=MAX_PORT)] = 8000
    trusted_proxies: Annotated[
        str,
        env(
            "Addresses and networks of proxies, separated by commas, whose `X-Forwarded-For` names the client;"
            " `none` for no proxy."
        ),
    ] = "127.0.0.1"
    monitoring_addresses: Annotated[
        str,
        env(
            "Addresses and networks, separated by commas, that may read `/metrics` and the details of `/health`;"
            " loopback always may."
        ),
    ] = ""
    cors_origins: Annotated[
        str,
        env(
            "Origins, separated by commas, whose pages may call the REST API; `loopback` for every page on this"
            " machine. Empty where a proxy answers CORS requests, as nginx does in production."
        ),
    ] = ""
    request_timeout_s: Annotated[
        float,
        env(
            "Time within which the headers of an HTTP request, and then its body, must arrive.",
            unit="seconds",
            ge=1,
        ),
    ] = 30
    gateway_workers: Annotated[
        str,
        env("Number of gateway processes that share the port; `auto` for one for each available processor."),
    ] = "1"
    public_websocket_url: Annotated[
        str, env("Public URL of the WebSocket endpoints, as sent to clients.", schemes=("ws", "wss"))
    ] = "ws://127.0.0.1:8000"
    public_nats_url: Annotated[
        str, env("Public URL of NATS, as sent to clients.", schemes=NATS_SCHEMES, several=True)
    ] = "nats://127.0.0.1:4222"
    public_nats_ws_url: Annotated[
        str, env("Public URL of NATS over WebSocket, as sent to clients.", schemes=("ws", "wss"))
    ] = "ws://127.0.0.1:8443"
    heartbeat_interval_s: Annotated[
        int, env("Heartbeat interval that clients are asked to use.", unit="seconds", ge=1)
    ] = 30
    heartbeat_timeout_s: Annotated[
        float, env("A client's WebSocket that sends nothing for this time is closed.", unit="seconds", ge=1)
    ] = 90
    ping_interval_s: Annotated[
        float,
        env("Interval of WebSocket pings; each must be answered before the next.", unit="seconds", ge=1),
    ] = 20
    handshake_timeout_s: Annotated[
        float, env("Time within which a WebSocket must authenticate.", unit="seconds", ge=1)
    ] = 5
    max_concurrent_handshakes: Annotated[
        int,
        env(
            "Maximum number of concurrent WebSocket handshakes; further ones wait in order.",
            ge=1,
            name="ARTCAFE_HANDSHAKES_AT_ONCE",
        ),
    ] = 64
    unauthenticated_sockets_per_address: Annotated[
        int,
        env(
            "Maximum number of WebSockets from one IP address that have not authenticated, in one gateway process;"
            " 0 disables the limit.",
            ge=0,
        ),
    ] = 1000
    send_queue_bytes: Annotated[
        int,
        env(
            "Maximum size of one WebSocket's send queue; a slower WebSocket is closed.",
            unit="bytes",
            ge=65536,
            name="ARTCAFE_OUTBOX_BYTES",
        ),
    ] = 4 * 1024 * 1024
    redis_url: Annotated[
        str,
        env("Redis that gateways and identity share for limits.", name="REDIS_URL", schemes=REDIS_SCHEMES),
    ] = "redis://127.0.0.1:6379/0"
    user_calls_per_minute: Annotated[
        int,
        env(
            "Maximum REST calls of one user on routes without an organization; 0 disables the limit.",
            ge=0,
            name="ARTCAFE_PERSON_CALLS_PER_MINUTE",
        ),
    ] = 300
    address_calls_per_minute: Annotated[
        int, env("Maximum REST calls without credentials from one IP address; 0 disables the limit.", ge=0)
    ] = 600
    address_logins_per_minute: Annotated[
        int, env("Maximum login attempts from one IP address; 0 disables the limit.", ge=0)
    ] = 30
    email_logins_per_minute: Annotated[
        int, env("Maximum login attempts with one e-mail address; 0 disables the limit.", ge=0)
    ] = 10
    max_subscriptions: Annotated[int, env("Maximum subscriptions of one WebSocket.", ge=1)] = 1000
    max_requests: Annotated[int, env("Maximum pending requests of one WebSocket.", ge=1)] = 64
    publish_rate: Annotated[
        float,
        env(
            "Maximum rate of messages that one organization publishes through one gateway; 0 disables the limit.",
            unit="per second",
            ge=0,
        ),
    ] = 25_000
    signature_rate: Annotated[
        float,
        env(
            "Maximum rate at which one gateway verifies signatures of one organization's clients; 0 disables the limit.",
            unit="per second",
            ge=0,
        ),
    ] = 1000
    fanout: Annotated[
        Literal["joined", "naive"],
        env("How messages are delivered to WebSockets; `naive` is slow, and serves as a benchmark baseline."),
    ] = "joined"
    websocket_transport: Annotated[
        Literal["direct", "asgi"],
        env("How frames reach the HTTP server; `asgi` works with any ASGI server, and is slower."),
    ] = "direct"
    usage_interval_s: Annotated[
        float, env("Interval at which usage is reported to metering.", unit="seconds", ge=0)
    ] = 0.5

    def __post_init__(self) -> None:
        _ = self.worker_count
        self.parse_trusted_proxies()
        self.parse_monitoring_addresses()
        self.parse_cors_origins()

    @property
    def worker_count(self) -> int:
        """The number of gateway processes; SettingsError if `gateway_workers` is neither a number nor `auto`."""
        wanted = self.gateway_workers.strip().lower()
        if wanted == "auto":
            return count_processors()
        if not wanted.isascii() or not wanted.isdigit() or int(wanted) < 1:
            raise SettingsError(
                f"ARTCAFE_GATEWAY_WORKERS is not valid: {wanted!r} is neither `auto` nor a number from 1 on"
            )
        return int(wanted)

    def parse_trusted_proxies(self) -> list[str]:
        """The addresses and networks of `trusted_proxies`; SettingsError if one of them is neither."""
        if self.trusted_proxies.strip() == "none":
            return []
        return [str(network) for network in _parse_networks("ARTCAFE_TRUSTED_PROXIES", self.trusted_proxies)]

    def parse_monitoring_addresses(self) -> tuple[Network, ...]:
        """The networks of `monitoring_addresses`; SettingsError if one of them is none."""
        if not self.monitoring_addresses.strip():
            return ()
        return _parse_networks("ARTCAFE_MONITORING_ADDRESSES", self.monitoring_addresses)

    def parse_cors_origins(self) -> frozenset[str]:
        """The origins of `cors_origins`; SettingsError if one is neither an origin nor `loopback`."""
        origins = frozenset(each.strip() for each in self.cors_origins.split(",") if each.strip())
        for origin in origins - {"loopback"}:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(
                    f"ARTCAFE_CORS_ORIGINS is not valid: {origin!r} is no origin such as https://console.example.com"
                )
        return origins


@functools.cache
def _parse_networks(variable: str, text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(","))
    except ValueError as error:
        raise SettingsError(f"{variable} is not valid: {error}") from None
