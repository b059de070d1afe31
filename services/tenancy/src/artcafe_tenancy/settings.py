"""The settings of tenancy, read from environment variables."""

from typing import Annotated

from artcafe_common.plans import Plan
from artcafe_common.settings import MetricsPort, StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """Environment variables of tenancy."""

    default_plan: Annotated[Plan, env("The plan of new organizations: free, basic, pro or enterprise.")] = (
        Plan.FREE
    )
    organizations_per_user: Annotated[
        int, env("Organizations that one person may create, those that the person left included.", ge=1)
    ] = 10
    metrics_port: MetricsPort = 9102
