"""Dashboards receive entries and changes of presence of their own organization."""

import asyncio
from datetime import UTC, datetime

import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.presence import ClientHealth, PresenceChanged, PresencesChanged
from artcafe_common.contracts.tenancy.activity import (
    ActivitiesStored,
    Activity,
    ActivityType,
    StoredActivity,
)
from artcafe_gateway.reporting.dashboard_feed import DashboardFeed
from support.fakes.ids import CLIENT, OTHER_TENANT, TENANT
from support.fakes.sockets import FakeSocket
from support.waiting import eventually


def changed(*, online, client_id=CLIENT, tenant_id=TENANT):
    return PresenceChanged(
        tenant_id=tenant_id,
        client_id=client_id,
        account="A",
        online=online,
        health=ClientHealth.HEALTHY,
        last_seen=datetime.now(UTC),
    )


async def find_name(_tenant_id, _kind, client_id):
    return f"name of {client_id}"


@pytest.mark.parametrize(("online", "status"), [(True, "online"), (False, "offline")])
async def test_presence_is_shown_to_dashboards_of_the_organization(online, status):
    feed, shown, other, closed = DashboardFeed(find_name), FakeSocket(), FakeSocket(), FakeSocket()
    feed.add_dashboard(TENANT, shown)
    feed.add_dashboard(OTHER_TENANT, other)
    feed.add_dashboard(TENANT, closed)
    feed.remove_dashboard(TENANT, closed)
    await feed.on_presence(changed(online=online))
    await eventually(lambda: shown.sent)
    frame = shown.sent[0]
    assert (frame.client_id, frame.status, frame.name) == (CLIENT, status, f"name of {CLIENT}")
    assert frame.health is ClientHealth.HEALTHY
    assert other.sent == closed.sent == []
    feed.remove_dashboard(TENANT, shown)
    feed.remove_dashboard(OTHER_TENANT, other)
    await feed.on_presence(changed(online=online))
    await asyncio.sleep(0)
    assert len(shown.sent) == 1


async def test_slow_lookup_keeps_the_order_and_delays_no_other_organization():
    answered = asyncio.Event()

    async def find_slowly(tenant_id, _kind, _client_id):
        if tenant_id == TENANT:
            await answered.wait()
        return "found"

    feed, shown, other = DashboardFeed(find_slowly), FakeSocket(), FakeSocket()
    feed.add_dashboard(TENANT, shown)
    feed.add_dashboard(OTHER_TENANT, other)
    await feed.on_presence(changed(online=True))
    await feed.on_presence(changed(online=False))
    await feed.on_presence(changed(online=True, tenant_id=OTHER_TENANT))
    await eventually(lambda: other.sent)
    assert shown.sent == []
    answered.set()
    await eventually(lambda: len(shown.sent) == 2)
    assert [frame.status for frame in shown.sent] == ["online", "offline"]
    feed.remove_dashboard(TENANT, shown)
    feed.remove_dashboard(OTHER_TENANT, other)


async def test_presence_is_shown_without_a_name_while_tenancy_is_away():
    asked = []

    async def fail(_tenant_id, _kind, client_id):
        asked.append(client_id)
        raise ServiceUnavailable

    feed, shown = DashboardFeed(fail), FakeSocket()
    feed.add_dashboard(TENANT, shown)
    for number in range(3):
        await feed.on_presence(changed(online=True, client_id=f"c{number}"))
    await eventually(lambda: len(shown.sent) == 3)
    assert [(frame.client_id, frame.name) for frame in shown.sent] == [(f"c{n}", None) for n in range(3)]
    # After the first failure, no further lookup delays the frames.
    assert asked == ["c0"]
    feed.remove_dashboard(TENANT, shown)


async def test_what_is_told_together_reaches_the_dashboards_of_its_organizations():
    feed, shown, other = DashboardFeed(find_name), FakeSocket(), FakeSocket()
    feed.add_dashboard(TENANT, shown)
    feed.add_dashboard(OTHER_TENANT, other)
    await feed.on_presences(
        PresencesChanged(
            changes=[
                changed(online=True),
                changed(online=True, tenant_id=OTHER_TENANT),
                changed(online=False),
                changed(online=True, tenant_id="unknown"),
            ]
        )
    )
    await eventually(lambda: len(shown.sent) == 2)
    assert [frame.status for frame in shown.sent] == ["online", "offline"]
    assert [frame.status for frame in other.sent] == ["online"]
    entries = [StoredActivity(tenant_id=tenant, activity=entry(tenant)) for tenant in (TENANT, "unknown")]
    await feed.on_activities(ActivitiesStored(entries=entries))
    assert [frame.activity.resource for frame in shown.sent[2:]] == [f"account:{TENANT}"]
    assert len(other.sent) == 1


def entry(tenant_id):
    return Activity(
        activity_id="a",
        type=ActivityType.CONNECTION,
        action="client.connected",
        actor="client:c",
        resource=f"account:{tenant_id}",
        timestamp=datetime.now(UTC),
    )
