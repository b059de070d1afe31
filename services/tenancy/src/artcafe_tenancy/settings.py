"""What the operator decides for tenancy."""

from typing import Annotated

from artcafe_common.plans import Plan
from artcafe_common.settings import StoreSettings, env


class Settings(StoreSettings, frozen=True, kw_only=True):
    """The settings of tenancy."""

    default_plan: Annotated[
        Plan, env("The plan that new organizations get: free, basic, pro or enterprise.")
    ] = Plan.FREE
