"""REST routes: the plans."""

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from artcafe_common.plans import LIMITS, Limits, Plan
from artcafe_gateway.http.auth import AuthenticatedUser


class PlanDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its limits; null is no limit."""

    plan: Plan
    limits: Limits


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    """All plans, the smallest first; one page."""

    plans: list[PlanDescription]
    next_cursor: str | None


class PlansController(Controller):
    """The plans. An operator changes the plan of an organization."""

    path = "/plans"
    tags = ["plans"]

    @get("/", summary="List the plans and their limits")
    async def list_plans(self, user: NamedDependency[AuthenticatedUser]) -> Plans:  # noqa: ARG002 - it authenticates
        plans = [PlanDescription(plan=plan, limits=limits) for plan, limits in LIMITS.items()]
        return Plans(plans=plans, next_cursor=None)
