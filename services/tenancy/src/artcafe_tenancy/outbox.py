"""Transactional outbox: the activity entry of a change and the events that it causes.

Both are one item, written in the transaction of the change. An entry has two states:

    write_for() in the transaction        publish() or publish_pending()
    ───────────────────────────▶ PENDING ─────────────────────────────▶ PUBLISHED

`publish` runs right after the transaction. If the process ends before that, `publish_pending` of any
instance publishes the entry. An event may be published more than once; its id stays the same.
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
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.tenancy.activity import Activity, ActivityRecorded, ActivityType
from artcafe_common.retrying import deadline
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.dynamo_errors import ConditionFailed
from artcafe_common.storage.table import Table
from artcafe_tenancy.tables import ACTIVITY, PENDING, ActivityItem, PendingEvent

RETENTION = timedelta(days=30)
# A younger entry is still being published by the instance that wrote it.
PENDING_AFTER_S = 1.5
BATCH_SIZE = 100
PUBLISH_WAIT_S = 0.5
CLOSE_TIMEOUT_S = 3
log = structlog.get_logger()


class OutboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An activity and the events of the change that it records."""

    tenant_id: str
    activity: Activity
    events: tuple[Event, ...] = ()


def build_entry(
    type_: ActivityType,
    action: str,
    resource: str,
    *events: Event,
    tenant_id: str = "",
    metadata: dict[str, Any] | None = None,
) -> OutboxEntry:
    """An entry for an action of the current caller, in the caller's tenant unless another is given."""
    caller = current_caller()
    return OutboxEntry(
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
    """Stores entries and publishes their events."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._items = Table(database, ACTIVITY)
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()
        self.results = {"published": 0, "late": 0, "delayed": 0}

    def write_for(self, entry: OutboxEntry) -> Write:
        """The write that stores a pending entry, for the transaction of the change."""
        events = [
            PendingEvent(subject=type(event).subject, body=msgspec.json.encode(event).decode())
            for event in entry.events
        ]
        return self._items.build_put(to_item(entry.tenant_id, entry.activity, events), new=True)

    async def publish(self, entry: OutboxEntry) -> None:
        """Publish the events of a stored entry; on failure the entry stays pending.

        Whoever is connected has the events at once. That the broker stores them is awaited for PUBLISH_WAIT_S: the
        change is complete, and its caller does not wait for a stream without a leader.
        """
        publishing = asyncio.create_task(self._publish(entry))
        self._tasks.add(publishing)
        publishing.add_done_callback(self._tasks.discard)
        await asyncio.wait({publishing}, timeout=PUBLISH_WAIT_S)

    async def _publish(self, entry: OutboxEntry) -> None:
        try:
            await run_together(*(self._bus.publish(event) for event in entry.events))
        except CommandError as error:
            self.results["delayed"] += 1
            log.warning("outbox_publish_delayed", reason=error.detail)
        else:
            self.results["published"] += 1
            self._run_in_background(self._mark_published(entry.tenant_id, entry.activity))

    async def publish_pending(self) -> None:
        """Publish the entries that are still pending after PENDING_AFTER_S."""
        before = to_timestamp(clock.now() - timedelta(seconds=PENDING_AFTER_S))
        page = await self._items.query(
            PENDING, index="PendingIndex", limit=BATCH_SIZE, range_=Key("timestamp").lt(before)
        )
        await run_together(*(self._publish_item(item) for item in page.items))

    async def _publish_item(self, item: ActivityItem) -> None:
        try:
            for pending in item.events:
                event_id = msgspec.json.decode(pending.body, type=Event).event_id
                await self._bus.publish_encoded(pending.subject, event_id, pending.body.encode())
        except CommandError as error:
            self.results["delayed"] += 1
            log.warning("outbox_publish_delayed", reason=error.detail)
            return
        self.results["late"] += 1
        await self._mark_published(item.tenant_id, to_activity(item))
        log.info("pending_entry_published", activity_id=item.id)

    async def close(self) -> None:
        """Wait for background updates, up to CLOSE_TIMEOUT_S."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)

    async def _mark_published(self, tenant_id: str, activity: Activity) -> None:
        """Publish the activity itself, then move the entry from PENDING to PUBLISHED."""
        try:
            await self._bus.publish(
                ActivityRecorded(
                    event_id=f"activity-{activity.activity_id}",
                    tenant_id=tenant_id,
                    activity=activity,
                    stored=True,
                )
            )
            await self._items.update(
                activity.activity_id,
                set_={"pending": None, "events": None},
                condition=Attr("pending").exists(),
            )
        except ConditionFailed:
            return  # Another instance published it.
        except CommandError as error:
            log.warning("outbox_publish_delayed", reason=error.detail)

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        with deadline(None):
            task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def to_timestamp(time: datetime) -> str:
    """The time in ISO 8601 with microseconds, so that texts sort by time."""
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


def to_item(tenant_id: str, activity: Activity, events: list[PendingEvent] | None = None) -> ActivityItem:
    """An activity as a DynamoDB item; pending unless `events` is None."""
    return ActivityItem(
        id=activity.activity_id,
        tenant_id=tenant_id,
        timestamp=to_timestamp(activity.timestamp),
        expires_at=int((activity.timestamp + RETENTION).timestamp()),
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


def to_activity(item: ActivityItem) -> Activity:
    """An activity as the API returns it."""
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
