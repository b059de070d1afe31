"""The activity log: records events and lists entries."""

import hashlib
from collections import Counter
from collections.abc import Sequence
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
    ActivitiesStored,
    Activity,
    ActivityPage,
    ActivityRecorded,
    ActivityStatus,
    ActivitySummary,
    ActivityType,
    GetActivitySummary,
    HourlyActivity,
    ListActivity,
    StoredActivity,
)
from artcafe_common.contracts.tenancy.members import Role
from artcafe_tenancy.activity_table import ActivityTable
from artcafe_tenancy.endpoint_base import EndpointBase
from artcafe_tenancy.outbox import to_activity
from artcafe_tenancy.people import name_actors
from artcafe_tenancy.store import Store

# A login is recorded in at most this many organizations of the user.
MAX_ORGANIZATIONS = 50
SUMMARY_PAGE_SIZE = 500
MAX_SUMMARY_PAGES = 40


class ActivityRecorder:
    """Records events in the activity log. Idempotent."""

    def __init__(self, store: Store, table: ActivityTable, bus: Bus) -> None:
        self._store = store
        self._table = table
        self._bus = bus

    async def on_activity_recorded(self, event: ActivityRecorded) -> None:
        """Record an activity in its tenant, or in every tenant of its user if it has none."""
        if event.stored:
            return
        if event.tenant_id:
            # A denied request may name a tenant that does not exist.
            if await self._store.get_tenant(event.tenant_id) is not None:
                await self._record(event.tenant_id, event.activity)
            return
        user_id = event.activity.actor.partition(":")[2]
        for membership in (await self._store.list_memberships(user_id, limit=MAX_ORGANIZATIONS)).items:
            if membership.created_at > event.activity.timestamp:
                continue  # The user became a member after the activity.
            activity_id = _derive_id(
                f"{event.activity.activity_id} {membership.tenant_id}", event.activity.timestamp
            )
            await self._record(
                membership.tenant_id, msgspec.structs.replace(event.activity, activity_id=activity_id)
            )

    async def record_presences(self, changes: Sequence[PresenceChanged]) -> None:
        """Record that clients or agents connected or disconnected."""
        entries = [StoredActivity(tenant_id=each.tenant_id, activity=_to_entry(each)) for each in changes]
        await self._table.record_all(entries)
        # The same entries have the same id.
        event_id = f"activities-{entries[-1].activity.activity_id}-{len(entries)}"
        await self._bus.publish(ActivitiesStored(event_id=event_id, entries=entries))

    async def on_quota_crossed(self, event: QuotaCrossed) -> None:
        """Record that a month's usage crossed a threshold of the quota."""
        activity = Activity(
            # A repeated event has another time but the same id.
            activity_id=event.event_id,
            type=ActivityType.QUOTA,
            status=ActivityStatus.WARNING,
            action="quota.crossed",
            actor="service:metering",
            resource=f"account:{event.tenant_id}",
            metadata={"percent": event.percent, "used": event.used, "limit": event.limit},
            timestamp=event.occurred_at,
        )
        await self._record(event.tenant_id, activity)

    async def _record(self, tenant_id: str, activity: Activity) -> None:
        await self._table.record(tenant_id, activity)
        # JetStream removes duplicates by the event id.
        await self._bus.publish(
            ActivityRecorded(
                event_id=f"activity-{activity.activity_id}",
                tenant_id=tenant_id,
                activity=activity,
                stored=True,
            )
        )


class ActivityEndpoints(EndpointBase):
    """Commands that read the activity log."""

    @handles(ListActivity)
    async def list_activity(self, request: ListActivity) -> ActivityPage:
        tenant_id = authorization.require_role(Role.VIEWER)
        items, next_cursor = await self.read_page(
            self.activity.list,
            tenant_id,
            "activity",
            request,
            since=clock.now() - timedelta(hours=request.hours),
            equal={
                "type": request.type,
                "status": request.status,
                "actor": request.actor,
                "resource": request.resource,
            },
        )
        actor_names = await name_actors(self.store, tenant_id, {item.actor for item in items})
        logs = [
            msgspec.structs.replace(to_activity(item), actor_name=actor_names.get(item.actor, ""))
            for item in items
        ]
        return ActivityPage(logs=logs, next_cursor=next_cursor)

    @handles(GetActivitySummary)
    async def summarize_activity(self, request: GetActivitySummary) -> ActivitySummary:
        tenant_id = authorization.require_role(Role.VIEWER)
        since = clock.now() - timedelta(hours=request.hours)
        types: Counter[str] = Counter()
        statuses: Counter[str] = Counter()
        actions: Counter[str] = Counter()
        hours: Counter[str] = Counter()
        position: dict[str, Any] | None = None
        for _ in range(MAX_SUMMARY_PAGES):
            page = await self.activity.list_summary_fields(
                tenant_id, since, limit=SUMMARY_PAGE_SIZE, position=position
            )
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


def _to_entry(change: PresenceChanged) -> Activity:
    return Activity(
        activity_id=_derive_id(change.event_id, change.occurred_at),
        type=ActivityType.CONNECTION,
        action=f"{change.kind}.connected" if change.online else f"{change.kind}.disconnected",
        actor=f"{change.kind}:{change.client_id}",
        resource=f"{change.kind}:{change.client_id}",
        ip=change.ip,
        metadata={"reason": change.reason} if change.reason else {},
        timestamp=change.occurred_at,
    )


def _derive_id(name: str, at: datetime) -> str:
    # A ULID derived from the event, so that a repeated event is recorded once.
    milliseconds = int(at.timestamp() * 1000)
    return str(ULID.from_bytes(milliseconds.to_bytes(6) + hashlib.sha256(name.encode()).digest()[:10]))
