"""What the presence service reads from the environment."""

from typing import Annotated

from artcafe_common.settings import StoreSettings, env


class PresenceSettings(StoreSettings, frozen=True, kw_only=True):
    """The settings of the presence service."""

    redis_url: Annotated[str, env("The Redis server that keeps the live state.", name="REDIS_URL")] = (
        "redis://127.0.0.1:6379/0"
    )
    heartbeat_interval_s: Annotated[
        float, env("How often a client is asked to send a heartbeat.", unit="seconds", ge=0.1)
    ] = 30
    heartbeat_timeout_s: Annotated[
        float, env("Silence that makes a client offline.", unit="seconds", ge=0.1)
    ] = 90
    gateway_grace_s: Annotated[
        float,
        env("How long a gateway may be silent after nobody listened.", unit="seconds", ge=0.1),
    ] = 10
    reconnect_grace_s: Annotated[
        float,
        env(
            "How long NATS clients have to come back after a restart before they are offline.",
            unit="seconds",
            ge=0,
        ),
    ] = 5
    deadline_check_s: Annotated[float, env("How often deadlines are looked at.", unit="seconds", ge=0.05)] = 1
    sweep_interval_s: Annotated[
        float,
        env("How often the connection table is compared with the broker's.", unit="seconds", ge=1),
    ] = 300
