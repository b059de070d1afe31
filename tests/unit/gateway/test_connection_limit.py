"""The limit of concurrent connections for WebSockets: by the organization's plan, if that is known."""

import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.presence import ConnectionReservation, ReserveConnection
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.plans import LIMITS, Plan
from artcafe_gateway.limits.connection_limit import ConnectionLimit
from support.fakes.bus import FakeBus
from support.fakes.ids import TENANT


class Plans:
    """As `LookupCache`, for plans."""

    def __init__(self, plan):
        self._plan = plan

    async def plan(self, _tenant_id):
        if isinstance(self._plan, Exception):
            raise self._plan
        return self._plan


async def test_connection_is_reserved_for_the_tenant_with_the_plans_limit():
    bus = FakeBus({ReserveConnection: ConnectionReservation(granted=False)})
    with pytest.raises(PlanLimitReached):
        await ConnectionLimit(bus, Plans(Plan.BASIC)).reserve(TENANT, "connection")
    assert bus.calls == [ReserveConnection(connection_id="connection", limit=LIMITS[Plan.BASIC].connections)]
    assert bus.callers[0].tenant_id == TENANT


async def test_connection_is_allowed_while_the_plan_is_unknown():
    bus = FakeBus()
    await ConnectionLimit(bus, Plans(ServiceUnavailable())).reserve(TENANT, "connection")
    assert bus.calls == []
