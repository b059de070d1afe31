"""Settings of the gateway, from environment variables."""

from typing import Annotated, Literal

from artcafe_common.settings import ServiceSettings, env


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """One field per variable."""

    host: Annotated[str, env("Address that the HTTP and WebSocket server listens on.")] = "127.0.0.1"
    port: Annotated[int, env("Port that the HTTP and WebSocket server listens on.", ge=1)] = 8000
    gateway_workers: Annotated[int, env("Number of gateway processes that share the port.", ge=1)] = 1
    public_websocket_url: Annotated[
        str, env("Public URL of the WebSocket endpoints, as sent to clients.")
    ] = "ws://127.0.0.1:8000"
    public_nats_url: Annotated[str, env("Public URL of NATS, as sent to clients.")] = "nats://127.0.0.1:4222"
    public_nats_ws_url: Annotated[str, env("Public URL of NATS over WebSocket, as sent to clients.")] = (
        "ws://127.0.0.1:8443"
    )
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
    send_queue_bytes: Annotated[
        int,
        env(
            "Maximum size of one WebSocket's send queue; a slower WebSocket is closed.",
            unit="bytes",
            ge=65536,
            name="ARTCAFE_OUTBOX_BYTES",
        ),
    ] = 4 * 1024 * 1024
    redis_url: Annotated[str, env("Redis that gateways and identity share for limits.", name="REDIS_URL")] = (
        "redis://127.0.0.1:6379/0"
    )
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
