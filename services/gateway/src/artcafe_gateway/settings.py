"""What the gateway reads from the environment."""

from typing import Annotated, Literal

from artcafe_common.settings import ServiceSettings, env


class Settings(ServiceSettings, frozen=True, kw_only=True):
    """Settings of the gateway."""

    host: Annotated[str, env("The address that HTTP and WebSocket listen on.")] = "127.0.0.1"
    port: Annotated[int, env("Their port.", ge=1)] = 8000
    gateway_workers: Annotated[int, env("How many gateway processes share the port.", ge=1)] = 1
    public_websocket_url: Annotated[str, env("What clients are told of WebSocket.")] = "ws://127.0.0.1:8000"
    public_nats_url: Annotated[str, env("What clients are told of NATS.")] = "nats://127.0.0.1:4222"
    public_nats_ws_url: Annotated[str, env("What clients are told of NATS over WebSocket.")] = (
        "ws://127.0.0.1:8443"
    )
    heartbeat_interval_s: Annotated[
        int, env("How often clients are told to send a heartbeat.", unit="seconds", ge=1)
    ] = 30
    heartbeat_timeout_s: Annotated[
        float, env("A WebSocket that was silent for so long is closed.", unit="seconds", ge=1)
    ] = 90
    ping_interval_s: Annotated[
        float, env("How often a WebSocket is pinged; it must answer before the next.", unit="seconds", ge=1)
    ] = 20
    handshake_timeout_s: Annotated[
        float, env("How long a WebSocket may take to authenticate.", unit="seconds", ge=1)
    ] = 5
    handshakes_at_once: Annotated[
        int, env("How many WebSockets authenticate at once; more wait in order.", ge=1)
    ] = 64
    send_queue_bytes: Annotated[
        int,
        env(
            "What may wait for one slow WebSocket before it is closed.",
            unit="bytes",
            ge=65536,
            name="ARTCAFE_OUTBOX_BYTES",
        ),
    ] = 4 * 1024 * 1024
    redis_url: Annotated[
        str, env("The Redis that gateways and identity share for limits.", name="REDIS_URL")
    ] = "redis://127.0.0.1:6379/0"
    person_calls_per_minute: Annotated[
        int, env("REST calls of one person on routes without an organization; 0 is no limit.", ge=0)
    ] = 300
    address_calls_per_minute: Annotated[
        int, env("REST calls without a credential from one address, logins aside; 0 is no limit.", ge=0)
    ] = 600
    address_logins_per_minute: Annotated[int, env("Logins from one address; 0 is no limit.", ge=0)] = 30
    email_logins_per_minute: Annotated[int, env("Logins with one e-mail address; 0 is no limit.", ge=0)] = 10
    max_subscriptions: Annotated[int, env("Subscriptions of one WebSocket.", ge=1)] = 1000
    max_requests: Annotated[int, env("Requests of one WebSocket that wait for a reply.", ge=1)] = 64
    publish_rate: Annotated[
        float,
        env(
            "Messages that one organization may publish through one gateway; 0 is no limit.",
            unit="per second",
            ge=0,
        ),
    ] = 25_000
    fanout: Annotated[
        Literal["joined", "naive"],
        env("How messages reach WebSockets; `naive` is there to be measured against."),
    ] = "joined"
    websocket_transport: Annotated[
        Literal["direct", "asgi"],
        env("How frames reach the server; `asgi` works with any ASGI server, and is slower."),
    ] = "direct"
    usage_interval_s: Annotated[
        float, env("How often counts are handed to metering.", unit="seconds", ge=0)
    ] = 0.5
