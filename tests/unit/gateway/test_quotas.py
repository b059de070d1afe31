"""Monthly quotas: which bridges may publish, and until when they may not."""

import asyncio
from datetime import UTC, date, datetime

import msgspec
import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.metering import CurrentUsage, GetCurrentUsage, QuotaCrossed, QuotaUsage
from artcafe_common.contracts.tenancy.accounts import GetAccount
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.plans import Plan
from artcafe_gateway.limits.quotas import Quotas
from artcafe_gateway.lookup_cache import LookupCache
from support.fakes.bus import FakeBus
from support.fakes.ids import OTHER_TENANT, TENANT
from support.waiting import eventually

NEXT_MONTH = datetime(2026, 4, 1, tzinfo=UTC).timestamp()


class Bridge:
    def __init__(self, tenant_id=TENANT):
        self.tenant_id = tenant_id
        self.quota_exhausted_until = 0.0


class Account(msgspec.Struct, frozen=True):
    """Stands for `Account`; only the plan is used."""

    plan: Plan


def usage(used, limit=10_000):
    return CurrentUsage(
        period_start=date(2026, 3, 1),
        period_end=date(2026, 3, 31),
        plan=Plan.FREE,
        messages=QuotaUsage(used=used, limit=limit, percent=None, projected=used),
        deliveries=0,
        bytes_in=0,
        bytes_out=0,
        api_calls=0,
    )


class Pool:
    def __init__(self, *bridges):
        self.open_bridges = list(bridges)


@pytest.fixture
def bus():
    return FakeBus({GetAccount: Account(Plan.FREE), GetCurrentUsage: usage(0)})


@pytest.fixture
def bridge():
    return Bridge()


@pytest.fixture
async def quotas(bus, bridge):
    quotas = Quotas(bus, LookupCache(bus), Pool(bridge, Bridge(OTHER_TENANT)))
    await quotas.subscribe()
    return quotas


@pytest.mark.parametrize(("used", "until"), [(0, 0), (9_999, 0), (10_000, NEXT_MONTH), (99_999, NEXT_MONTH)])
async def test_bridge_may_publish_until_the_limit_is_reached(quotas, bridge, bus, used, until):
    bus.replies[GetCurrentUsage] = usage(used)
    await quotas.refresh(bridge)
    assert bridge.quota_exhausted_until == until


async def test_plan_without_a_limit_needs_no_usage(quotas, bridge, bus):
    bus.replies[GetAccount] = Account(Plan.ENTERPRISE)
    bridge.quota_exhausted_until = NEXT_MONTH
    await quotas.refresh(bridge)
    assert bridge.quota_exhausted_until == 0
    assert bus.count(GetCurrentUsage) == 0


async def test_unavailable_metering_changes_nothing(quotas, bridge, bus):
    bus.replies[GetCurrentUsage] = ServiceUnavailable()
    for until in (0, NEXT_MONTH):
        bridge.quota_exhausted_until = until
        await quotas.refresh(bridge)
        assert bridge.quota_exhausted_until == until


async def test_crossed_quota_stops_the_tenants_bridge_only(quotas, bridge, bus):
    bus.replies[GetCurrentUsage] = usage(10_000)
    await bus.emit(QuotaCrossed(tenant_id=TENANT, percent=100, used=10_000, limit=10_000))
    assert bridge.quota_exhausted_until == NEXT_MONTH
    assert quotas._bridges.open_bridges[1].quota_exhausted_until == 0


async def test_changed_plan_is_applied(quotas, bridge, bus):
    bus.replies[GetCurrentUsage] = usage(10_000)
    await quotas.refresh(bridge)
    bus.replies |= {GetAccount: Account(Plan.BASIC), GetCurrentUsage: usage(10_000, 100_000)}
    await bus.emit(PlanChanged(tenant_id=TENANT, plan=Plan.BASIC))
    assert bridge.quota_exhausted_until == 0
    # The cached plan is not used.
    assert [call.plan for call in bus.calls if isinstance(call, GetCurrentUsage)][-1] is Plan.BASIC


async def test_outdated_result_does_not_replace_a_newer_one(quotas, bridge, bus):
    bus.replies[GetCurrentUsage] = usage(10_000)
    bus.hold(GetCurrentUsage)
    slow = asyncio.create_task(quotas.refresh(bridge))
    await asyncio.sleep(0.001)
    held = bus._held.pop(GetCurrentUsage)
    replies = iter([usage(0), usage(10_000)])
    bus.replies[GetCurrentUsage] = lambda _: next(replies)
    await quotas.refresh(bridge)
    held.set()
    await slow
    assert bridge.quota_exhausted_until == 0


async def test_all_bridges_are_refreshed(quotas, bridge, bus):
    bus.replies[GetCurrentUsage] = usage(10_000)
    await quotas.refresh_all()
    assert [each.quota_exhausted_until for each in quotas._bridges.open_bridges] == [NEXT_MONTH] * 2


async def test_refreshes_do_not_wait_for_each_other(quotas, bus):
    bus.hold(GetCurrentUsage)
    refreshing = asyncio.create_task(quotas.refresh_all())
    await eventually(lambda: bus.count(GetCurrentUsage) == 2)
    bus.release(GetCurrentUsage)
    await refreshing
