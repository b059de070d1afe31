"""Enforces the plan's limit of concurrent connections, over every transport."""

import structlog

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import ReserveConnection
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.plans import LIMITS, Plan

log = structlog.get_logger()


async def reserve_connection(
    bus: Bus, *, caller: CallerContext, plan: Plan, connection_id: str, deadline_s: float | None = None
) -> None:
    """Reserve a connection of the caller's tenant before it opens; PlanLimitReached when the plan allows no more.

    Presence counts the connections of all gateways and brokers. The connection is allowed when it does not answer;
    presence ends it later if it is over the plan.
    """
    limit = LIMITS[plan].connections
    if limit is None:
        return
    try:
        reservation = await bus.call(
            ReserveConnection(connection_id=connection_id, limit=limit),
            caller=caller,
            deadline_s=deadline_s,
            wait_for_recovery=False,
        )
    except CommandError as error:
        log.warning("connection_limit_not_checked", reason=error.detail)
        return
    if not reservation.granted:
        raise PlanLimitReached(f"the organization's plan allows at most {limit} connections at once")
