"""The limit of concurrent connections: reserved with presence, and not enforced while it is unavailable."""

import pytest

from artcafe_common.bus.errors import DeadlineExceeded, ServiceUnavailable
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


@pytest.fixture
def bus():
    return FakeBus({ReserveConnection: ConnectionReservation(granted=True)})


async def test_connection_is_reserved_for_the_tenant_with_the_plans_limit(bus):
    await ConnectionLimit(bus, Plans(Plan.BASIC)).reserve(TENANT, "connection")
    assert bus.calls == [ReserveConnection(connection_id="connection", limit=LIMITS[Plan.BASIC].connections)]
    assert bus.callers[0].tenant_id == TENANT


async def test_refused_reservation_is_the_plans_limit(bus):
    bus.replies[ReserveConnection] = ConnectionReservation(granted=False)
    with pytest.raises(PlanLimitReached):
        await ConnectionLimit(bus, Plans(Plan.FREE)).reserve(TENANT, "connection")


async def test_plan_without_a_limit_needs_no_reservation(bus):
    await ConnectionLimit(bus, Plans(Plan.ENTERPRISE)).reserve(TENANT, "connection")
    assert bus.calls == []


@pytest.mark.parametrize("error", [ServiceUnavailable(), DeadlineExceeded()])
async def test_connection_is_allowed_while_presence_is_unavailable(bus, error):
    bus.replies[ReserveConnection] = error
    await ConnectionLimit(bus, Plans(Plan.FREE)).reserve(TENANT, "connection")


async def test_connection_is_allowed_while_the_plan_is_unknown(bus):
    await ConnectionLimit(bus, Plans(ServiceUnavailable())).reserve(TENANT, "connection")
    assert bus.calls == []
