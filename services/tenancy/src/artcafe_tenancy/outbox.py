"""What goes with every change: its entry in the activity log, and the events that it causes.

Both are written in the transaction of the change, as one item. The events are announced at
once; where the process was killed before that, another look at what is pending announces them.
"""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from boto3.dynamodb.conditions import Attr, Key

from artcafe_common import clock
from artcafe_common.bus.caller import current_caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Event
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.tenancy.activity import Activity, ActivityRecorded, ActivityType
from artcafe_common.storage.dynamo import ConditionFailed, Database, Write
from artcafe_tenancy.tables import ACTIVITY, PENDING, ActivityItem, PendingEvent

KEPT = timedelta(days=30)
# What is younger is still being announced by whoever made it.
LEFT_OVER_S = 1.5
AT_ONCE = 100
LEAVE_WITHIN_S = 3
log = structlog.get_logger()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An activity with the events that its change causes."""

    tenant_id: str
    activity: Activity
    events: tuple[Event, ...] = ()


def entry(
    type_: ActivityType,
    action: str,
    resource: str,
    *events: Event,
    tenant_id: str = "",
    metadata: dict[str, Any] | None = None,
) -> Entry:
    """What the current caller does to a resource of their tenant, or of the one that is named."""
    caller = current_caller()
    return Entry(
        tenant_id=tenant_id or caller.tenant_id,
        activity=Activity(
            activity_id=clock.new_id(),
            type=type_,
            action=action,
            actor=caller.actor,
            resource=resource,
            ip=caller.ip,
            user_agent=caller.user_agent,
            metadata=metadata or {},
            timestamp=clock.now(),
        ),
        events=events,
    )


class Outbox:
    """Keeps entries, and announces what they tell."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._items = database.table(ACTIVITY)
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()

    def keeping(self, new: Entry) -> Write:
        """The write that belongs into the transaction of the change."""
        events = [
            PendingEvent(subject=type(event).subject, body=msgspec.json.encode(event).decode())
            for event in new.events
        ]
        return self._items.build_put(item_of(new.tenant_id, new.activity, events), new=True)

    async def tell(self, new: Entry) -> None:
        """Announce a change that was stored; what cannot be announced now is announced later."""
        try:
            for event in new.events:
                await self._bus.publish(event)
        except CommandError as error:
            log.warning("announcement_waits", reason=error.detail)
        else:
            self._spawn(self._settle(new.tenant_id, new.activity))

    async def tell_left_over(self) -> None:
        """Announce what others stored and did not announce."""
        before = stamp(clock.now() - timedelta(seconds=LEFT_OVER_S))
        page = await self._items.query(
            PENDING, index="PendingIndex", limit=AT_ONCE, range_=Key("timestamp").lt(before)
        )
        await asyncio.gather(*(self._tell_left_over(item) for item in page.items))

    async def _tell_left_over(self, item: ActivityItem) -> None:
        try:
            for pending in item.events:
                event_id = msgspec.json.decode(pending.body, type=Event).event_id
                await self._bus.publish_encoded(pending.subject, event_id, pending.body.encode())
        except CommandError as error:
            log.warning("announcement_waits", reason=error.detail)
            return
        await self._settle(item.tenant_id, activity_of(item))
        log.info("left_over_announced", activity_id=item.id)

    async def close(self) -> None:
        """Finish what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_WITHIN_S)

    async def _settle(self, tenant_id: str, activity: Activity) -> None:
        try:
            await self._bus.publish(
                ActivityRecorded(
                    event_id=f"activity-{activity.activity_id}",
                    tenant_id=tenant_id,
                    activity=activity,
                    kept=True,
                )
            )
            await self._items.update(
                activity.activity_id,
                set_={"pending": None, "events": None},
                condition=Attr("pending").exists(),
            )
        except ConditionFailed:
            return  # another one did
        except CommandError as error:
            log.warning("announcement_waits", reason=error.detail)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def stamp(moment: datetime) -> str:
    """A time as text that sorts as times do."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def item_of(tenant_id: str, activity: Activity, events: list[PendingEvent] | None = None) -> ActivityItem:
    """An entry as it is stored; with a list of events, be it empty, it is still to be announced."""
    return ActivityItem(
        id=activity.activity_id,
        tenant_id=tenant_id,
        timestamp=stamp(activity.timestamp),
        expires_at=int((activity.timestamp + KEPT).timestamp()),
        type=activity.type,
        status=activity.status,
        action=activity.action,
        actor=activity.actor,
        resource=activity.resource,
        ip=activity.ip,
        user_agent=activity.user_agent,
        metadata=activity.metadata,
        events=events or [],
        pending=None if events is None else PENDING,
    )


def activity_of(item: ActivityItem) -> Activity:
    """An entry as it is shown."""
    return Activity(
        activity_id=item.id,
        type=item.type,
        status=item.status,
        action=item.action,
        actor=item.actor,
        resource=item.resource,
        ip=item.ip,
        user_agent=item.user_agent,
        metadata=item.metadata,
        timestamp=msgspec.convert(item.timestamp, type=datetime),
    )
