"""What a service has to tell the activity log, and refusals among it: nobody fills it, none is left out in silence."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.tenancy.activity import Activity, ActivityRecorded, ActivityStatus, ActivityType

REMEMBERED = 10_000
MINUTE_S = 60.0


def build_activity_event(
    caller: CallerContext,
    type_: ActivityType,
    action: str,
    resource: str,
    *,
    tenant_id: str,
    status: ActivityStatus = ActivityStatus.SUCCESS,
    metadata: dict[str, Any] | None = None,
) -> ActivityRecorded:
    """What a caller did, for the log of an organization (or of all of theirs, without one)."""
    activity = Activity(
        activity_id=new_id(),
        type=type_,
        status=status,
        action=action,
        actor=caller.actor,
        resource=resource,
        ip=caller.ip,
        user_agent=caller.user_agent,
        metadata=metadata or {},
        timestamp=now(),
    )
    return ActivityRecorded(tenant_id=tenant_id, activity=activity)


@dataclass(slots=True)
class _Minute:
    ends_at: float
    first: ActivityRecorded
    left_out: int = 0
    told: int = 1


class DenialReporter:
    """Tells an organization of refusals: so many of a kind each minute, and then how many more there were.

    `announce` may not block: a refusal waits for nobody.
    """

    def __init__(self, announce: Callable[[ActivityRecorded], None]) -> None:
        self._announce = announce
        # By organization, actor, action and resource, in the order in which they end.
        self._minutes: OrderedDict[tuple[str, str, str, str], _Minute] = OrderedDict()

    def report(
        self,
        caller: CallerContext,
        action: str,
        resource: str,
        *,
        tenant_id: str,
        per_minute: int = 1,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Someone was refused; tenancy drops it where there is no such organization."""
        self.report_suppressed()
        key = (tenant_id, caller.actor, action, resource)
        minute = self._minutes.get(key)
        if minute is not None and minute.told >= per_minute:
            minute.left_out += 1
            return
        event = build_activity_event(
            caller,
            ActivityType.ACCESS,
            action,
            resource,
            tenant_id=tenant_id,
            status=ActivityStatus.DENIED,
            metadata=metadata,
        )
        if minute is None:
            self._minutes[key] = _Minute(time.monotonic() + MINUTE_S, event)
        else:
            minute.told += 1
        self._announce(event)

    def report_suppressed(self) -> None:
        """Tell how many were left out in the minutes that are over; the oldest make room for new ones."""
        at = time.monotonic()
        while self._minutes:
            key, oldest = next(iter(self._minutes.items()))
            if oldest.ends_at > at and len(self._minutes) < REMEMBERED:
                return
            del self._minutes[key]
            if oldest.left_out:
                self._announce(_again(oldest))

    async def tick(self) -> None:
        """Called now and then."""
        self.report_suppressed()


def _again(minute: _Minute) -> ActivityRecorded:
    first = minute.first.activity
    activity = msgspec.structs.replace(
        first,
        activity_id=new_id(),
        action=f"{first.action}_again",
        metadata={"count": minute.left_out},
        timestamp=now(),
    )
    return ActivityRecorded(tenant_id=minute.first.tenant_id, activity=activity)
