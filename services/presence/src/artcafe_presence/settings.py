"""The presence service's settings."""

from typing import Annotated

from artcafe_common.settings import StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """The settings of the presence service."""

    redis_url: Annotated[str, env("The Redis server that stores the live state.", name="REDIS_URL")] = (
        "redis://127.0.0.1:6379/0"
    )
    heartbeat_interval_s: Annotated[
        float, env("How often a client should send a heartbeat.", unit="seconds", ge=0.1)
    ] = 30
    heartbeat_timeout_s: Annotated[
        float, env("Time without a heartbeat after which a client is offline.", unit="seconds", ge=0.1)
    ] = 90
    gateway_grace_s: Annotated[
        float,
        env("Time that a gateway has to report after presence was down.", unit="seconds", ge=0.1),
    ] = 10
    reconnect_grace_s: Annotated[
        float,
        env(
            "Time that NATS clients have to reconnect after a restart before they are offline.",
            unit="seconds",
            ge=0,
        ),
    ] = 5
    deadline_check_s: Annotated[float, env("How often deadlines are checked.", unit="seconds", ge=0.05)] = 1
    sweep_interval_s: Annotated[
        float,
        env("How often the connection table is reconciled with the broker's.", unit="seconds", ge=1),
    ] = 300
