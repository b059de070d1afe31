"""The activity log of an organization, and the event that adds an entry."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from artcafe_common.bus.command import Event, Query
from artcafe_common.contracts.tenancy.list_query import ListQuery

MAX_HOURS = 30 * 24
ActivityName = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Hours = Annotated[int, msgspec.Meta(ge=1, le=MAX_HOURS)]


class ActivityType(StrEnum):
    """The type of an entry."""

    ACCOUNT = "account"
    MEMBER = "member"
    CLIENT = "client"
    AGENT = "agent"
    CHANNEL = "channel"
    SUBJECT = "subject"
    CONNECTION = "connection"
    AUTH = "auth"
    ACCESS = "access"
    QUOTA = "quota"


class ActivityStatus(StrEnum):
    """The outcome of an activity."""

    SUCCESS = "success"
    DENIED = "denied"
    WARNING = "warning"


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """An entry: `actor` performed `action` (such as `client.created`) on `resource` (such as `client:<id>`).

    In lists, `actor_name` is the name or e-mail address of an actor who is a member of the organization.
    """

    activity_id: str
    type: ActivityType
    status: ActivityStatus = ActivityStatus.SUCCESS
    action: str
    actor: str
    actor_name: str = ""
    resource: str
    ip: str = ""
    user_agent: str = ""
    metadata: dict[str, Any] = {}
    timestamp: datetime


class ActivityRecorded(Event, frozen=True, kw_only=True):
    """An entry of the activity log; with an empty `tenant_id`, of every organization of the acting user.

    Tenancy stores the entry unless it is `stored` already, together with the change that it describes.
    """

    subject = "artcafe.events.activity.recorded"
    publishers = ("gateway", "identity", "presence", "tenancy")
    consumers = ("tenancy",)
    tenant_id: str
    activity: Activity
    # `kept` in events and outbox items of earlier releases.
    stored: bool = msgspec.field(name="kept", default=False)


class StoredActivity(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that tenancy has stored."""

    tenant_id: str
    activity: Activity


class ActivitiesStored(Event, frozen=True, kw_only=True):
    """Tenancy stored these entries together; gateways show them on dashboards."""

    subject = "artcafe.events.activity.stored"
    publishers = ("tenancy",)
    entries: list[StoredActivity]


class ActivityPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the activity log, newest entries first."""

    logs: list[Activity]
    next_cursor: str | None


class ListActivity(ListQuery[ActivityPage], frozen=True, kw_only=True):
    """List the activity of the caller's organization in the last `hours`.

    Optionally only entries of one type or status, by one actor (such as `user:<id>`), or about one resource (such as
    `client:<id>`). A page of rare entries may be short or empty without being the last.
    """

    subject = "artcafe.tenancy.activity.list"
    hours: Hours = 24
    type: ActivityType | None = None
    status: ActivityStatus | None = None
    actor: ActivityName | None = None
    resource: ActivityName | None = None


class HourlyActivity(msgspec.Struct, frozen=True, kw_only=True):
    """The number of entries in an hour; `hour` is its start."""

    hour: datetime
    count: int


class ActivitySummary(msgspec.Struct, frozen=True, kw_only=True):
    """The number of entries in the last `hours`, in total and by category.

    `complete` is false if there are too many entries, and only the newest were counted.
    """

    hours: int
    total: int
    complete: bool
    by_type: dict[str, int]
    by_status: dict[str, int]
    by_action: dict[str, int]
    hourly: list[HourlyActivity]


class GetActivitySummary(Query[ActivitySummary], frozen=True, kw_only=True):
    """Count the activity of the caller's organization in the last `hours`."""

    subject = "artcafe.tenancy.activity.summary"
    deadline_s = 10.0
    patience_s = 4.0
    hours: Hours = 24
