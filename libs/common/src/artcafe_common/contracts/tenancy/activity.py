"""What happened in an organization: the log that tenancy keeps, and how others add to it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from artcafe_common.bus.command import Event, Query
from artcafe_common.contracts.tenancy.list_query import ListQuery

MAX_HOURS = 30 * 24
Hours = Annotated[int, msgspec.Meta(ge=1, le=MAX_HOURS)]


class ActivityType(StrEnum):
    """What an entry is about."""

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
    """How it ended."""

    SUCCESS = "success"
    DENIED = "denied"
    WARNING = "warning"


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: `actor` did `action` (such as `client.created`) to `resource` (such as `client:<id>`)."""

    activity_id: str
    type: ActivityType
    status: ActivityStatus = ActivityStatus.SUCCESS
    action: str
    actor: str
    resource: str
    ip: str = ""
    user_agent: str = ""
    metadata: dict[str, Any] = {}
    timestamp: datetime


class ActivityRecorded(Event, frozen=True, kw_only=True):
    """An entry for the log of a tenant.

    Without a tenant it is for every organization of the user who acted. What is `kept` was
    stored together with the change that it tells of; anything else tenancy stores when it hears it.
    """

    subject = "artcafe.events.activity.recorded"
    publishers = ("gateway", "identity", "tenancy")
    consumers = ("tenancy",)
    tenant_id: str
    activity: Activity
    kept: bool = False


class ActivityPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of entries, newest first."""

    logs: list[Activity]
    next_cursor: str | None


class ListActivity(ListQuery[ActivityPage], frozen=True, kw_only=True):
    """The entries of the last `hours` of the caller's tenant, of one type or status if asked for."""

    subject = "artcafe.tenancy.activity.list"
    hours: Hours = 24
    type: ActivityType | None = None
    status: ActivityStatus | None = None


class HourlyActivity(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries an hour has; `hour` is its beginning."""

    hour: datetime
    count: int


class ActivitySummary(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of some hours, counted.

    `complete` is false when there were more than are counted at once: then only the newest are.
    """

    hours: int
    total: int
    complete: bool
    by_type: dict[str, int]
    by_status: dict[str, int]
    by_action: dict[str, int]
    hourly: list[HourlyActivity]


class GetActivitySummary(Query[ActivitySummary], frozen=True, kw_only=True):
    """What happened in the last `hours`, in numbers."""

    subject = "artcafe.tenancy.activity.summary"
    deadline_s = 10.0
    hours: Hours = 24
