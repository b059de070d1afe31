"""The activity log: what others tell goes in, what its organization asks for comes out."""

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from ulid import ULID

from artcafe_common import authorization, clock
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import handles
from artcafe_common.contracts.metering import QuotaCrossed
from artcafe_common.contracts.presence import PresenceChanged
from artcafe_common.contracts.tenancy.activity import (
    Activity,
    ActivityPage,
    ActivityRecorded,
    ActivityStatus,
    ActivitySummary,
    ActivityType,
    GetActivitySummary,
    HourlyActivity,
    ListActivity,
)
from artcafe_common.contracts.tenancy.members import Role
from artcafe_tenancy.activity_table import ActivityTable
from artcafe_tenancy.endpoint_base import Handlers
from artcafe_tenancy.outbox import activity_of
from artcafe_tenancy.store import Store

# The organizations of one user that are told of a login.
MAX_PLACES = 50
SUMMARY_PAGE = 1000
SUMMARY_PAGES = 20


class ActivityRecorder:
    """Stores what is announced; safe to be told twice."""

    def __init__(self, store: Store, table: ActivityTable, bus: Bus) -> None:
        self._store = store
        self._table = table
        self._bus = bus

    async def recorded(self, event: ActivityRecorded) -> None:
        """Keep an entry of the tenant that it names, or of every one that its user belongs to."""
        if event.kept:
            return
        if event.tenant_id:
            # Whoever was denied access may have named any tenant.
            if await self._store.tenant(event.tenant_id) is not None:
                await self._keep(event.tenant_id, event.activity)
            return
        user_id = event.activity.actor.partition(":")[2]
        for place in (await self._store.memberships(user_id, limit=MAX_PLACES)).items:
            if place.created_at > event.activity.timestamp:
                continue  # heard late: it was not theirs yet
            own = _derived(f"{event.activity.activity_id} {place.tenant_id}", event.activity.timestamp)
            await self._keep(place.tenant_id, msgspec.structs.replace(event.activity, activity_id=own))

    async def came_or_went(self, event: PresenceChanged) -> None:
        """Keep that a client or agent connected or disconnected."""
        activity = Activity(
            activity_id=_derived(event.event_id, event.occurred_at),
            type=ActivityType.CONNECTION,
            action=f"{event.kind}.connected" if event.online else f"{event.kind}.disconnected",
            actor=f"{event.kind}:{event.client_id}",
            resource=f"{event.kind}:{event.client_id}",
            ip=event.ip,
            metadata={"reason": event.reason} if event.reason else {},
            timestamp=event.occurred_at,
        )
        await self._keep(event.tenant_id, activity)

    async def quota_crossed(self, event: QuotaCrossed) -> None:
        """Keep that most or all of a month's messages are used up."""
        activity = Activity(
            # Announced again it has another time, but the same id.
            activity_id=event.event_id,
            type=ActivityType.QUOTA,
            status=ActivityStatus.WARNING,
            action="quota.crossed",
            actor="service:metering",
            resource=f"account:{event.tenant_id}",
            metadata={"percent": event.percent, "used": event.used, "limit": event.limit},
            timestamp=event.occurred_at,
        )
        await self._keep(event.tenant_id, activity)

    async def _keep(self, tenant_id: str, activity: Activity) -> None:
        await self._table.keep(tenant_id, activity)
        # Told again, the broker knows it by its id.
        await self._bus.publish(
            ActivityRecorded(
                event_id=f"activity-{activity.activity_id}", tenant_id=tenant_id, activity=activity, kept=True
            )
        )


class ActivityEndpoints(Handlers):
    """Reading the log."""

    @handles(ListActivity)
    async def list_activity(self, request: ListActivity) -> ActivityPage:
        tenant_id = authorization.require_role(Role.VIEWER)
        items, next_cursor = await self.read_page(
            self.activity.list,
            tenant_id,
            "activity",
            request,
            since=clock.now() - timedelta(hours=request.hours),
            type_=request.type,
            status=request.status,
        )
        return ActivityPage(logs=[activity_of(item) for item in items], next_cursor=next_cursor)

    @handles(GetActivitySummary)
    async def summarize_activity(self, request: GetActivitySummary) -> ActivitySummary:
        tenant_id = authorization.require_role(Role.VIEWER)
        since = clock.now() - timedelta(hours=request.hours)
        types: Counter[str] = Counter()
        statuses: Counter[str] = Counter()
        actions: Counter[str] = Counter()
        hours: Counter[str] = Counter()
        position: dict[str, Any] | None = None
        for _ in range(SUMMARY_PAGES):
            page = await self.activity.marks(tenant_id, since, limit=SUMMARY_PAGE, position=position)
            items, position = page.items, page.position
            types.update(item.type.value for item in items)
            statuses.update(item.status.value for item in items)
            actions.update(item.action for item in items)
            hours.update(item.timestamp[:13] for item in items)
            if position is None:
                break
        return ActivitySummary(
            hours=request.hours,
            total=types.total(),
            complete=position is None,
            by_type=dict(types),
            by_status=dict(statuses),
            by_action=dict(actions),
            hourly=[
                HourlyActivity(hour=datetime.fromisoformat(f"{hour}:00:00").replace(tzinfo=UTC), count=count)
                for hour, count in sorted(hours.items())
            ],
        )


def _derived(name: str, at: datetime) -> str:
    # The same event gives the same id, so that an entry is kept once.
    milliseconds = int(at.timestamp() * 1000)
    return str(ULID.from_bytes(milliseconds.to_bytes(6) + hashlib.sha256(name.encode()).digest()[:10]))
