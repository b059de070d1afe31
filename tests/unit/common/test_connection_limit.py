"""Connections beyond the plan are refused; without an answer of presence they are allowed."""

import pytest

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import DeadlineExceeded, ServiceUnavailable
from artcafe_common.connection_limit import reserve_connection
from artcafe_common.contracts.presence import ConnectionReservation, ReserveConnection
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.plans import LIMITS, Plan
from support.fakes.bus import FakeBus
from support.fakes.ids import TENANT

CALLER = CallerContext(request_id="r", tenant_id=TENANT)


@pytest.fixture
def bus():
    return FakeBus({ReserveConnection: ConnectionReservation(granted=True)})


async def reserve(bus, plan=Plan.FREE):
    await reserve_connection(bus, caller=CALLER, plan=plan, connection_id="nats:S:1")


async def test_connection_is_reserved_within_the_plan_of_the_tenant(bus):
    await reserve(bus)
    assert bus.calls == [ReserveConnection(connection_id="nats:S:1", limit=LIMITS[Plan.FREE].connections)]
    assert bus.callers == [CALLER]


async def test_connection_beyond_the_plan_is_refused(bus):
    bus.replies[ReserveConnection] = ConnectionReservation(granted=False)
    with pytest.raises(PlanLimitReached):
        await reserve(bus)


@pytest.mark.parametrize("error", [ServiceUnavailable(), DeadlineExceeded()])
async def test_connection_is_allowed_while_presence_does_not_answer(bus, error):
    bus.replies[ReserveConnection] = error
    await reserve(bus)


async def test_plan_without_a_limit_needs_no_reservation(bus):
    await reserve(bus, Plan.ENTERPRISE)
    assert bus.calls == []
