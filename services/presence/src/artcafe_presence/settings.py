"""The presence service's settings."""

from typing import Annotated, ClassVar

from artcafe_common.settings import REDIS_SCHEMES, MetricsPort, StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """The settings of the presence service."""

    shorter_than: ClassVar[dict[str, str]] = {
        "heartbeat_interval_s": "heartbeat_timeout_s",
        "deadline_check_s": "heartbeat_timeout_s",
    }

    redis_url: Annotated[
        str, env("The Redis server that stores the live state.", name="REDIS_URL", schemes=REDIS_SCHEMES)
    ] = "redis://127.0.0.1:6379/0"
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
    metrics_port: MetricsPort = 9103
