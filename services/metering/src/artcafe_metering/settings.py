"""The metering service's settings."""

from typing import Annotated

from artcafe_common.settings import REDIS_SCHEMES, MetricsPort, StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """The settings of the metering service."""

    redis_url: Annotated[
        str, env("The Redis server that stores the counters.", name="REDIS_URL", schemes=REDIS_SCHEMES)
    ] = "redis://127.0.0.1:6379/0"
    poll_interval_s: Annotated[
        float,
        env("How often the counters of the broker's connections are read.", unit="seconds", ge=0.05),
    ] = 1.0
    closed_interval_s: Annotated[
        float, env("How often the broker's closed connections are read.", unit="seconds", ge=0.05)
    ] = 30.0
    settle_after_s: Annotated[
        float,
        env("Time to wait for a gateway's last reports after its connection closed.", unit="seconds", ge=0),
    ] = 5.0
    rollup_interval_s: Annotated[
        float, env("How often daily totals are written to DynamoDB.", unit="seconds", ge=0.05)
    ] = 60.0
    metrics_port: MetricsPort = 9104
