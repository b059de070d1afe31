"""What metering reads from the environment."""

from typing import Annotated

from artcafe_common.settings import StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """Settings of metering."""

    redis_url: Annotated[str, env("The Redis that keeps the counters.", name="REDIS_URL")] = (
        "redis://127.0.0.1:6379/0"
    )
    poll_interval_s: Annotated[
        float, env("How often the broker is asked for its connections' counters.", unit="seconds", ge=0.05)
    ] = 1.0
    closed_interval_s: Annotated[
        float,
        env("How often the broker is asked for connections that have ended.", unit="seconds", ge=0.05),
    ] = 30.0
    settle_after_s: Annotated[
        float,
        env("How long after a gateway's connection ended its last reports are waited for.", unit="seconds"),
    ] = 5.0
    rollup_interval_s: Annotated[
        float, env("How often daily totals are written to DynamoDB.", unit="seconds", ge=0.05)
    ] = 60.0
