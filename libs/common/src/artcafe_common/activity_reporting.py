"""Builds events of the activity log, and reports denied access to it at a limited rate."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.tenancy.activity import Activity, ActivityRecorded, ActivityStatus, ActivityType

MAX_WINDOWS = 10_000
WINDOW_S = 60.0


def build_activity_event(
    caller: CallerContext,
    type_: ActivityType,
    action: str,
    resource: str,
    *,
    tenant_id: str,
    status: ActivityStatus = ActivityStatus.SUCCESS,
    metadata: dict[str, Any] | None = None,
    event_id: str = "",
) -> ActivityRecorded:
    """An event for the log of a tenant; with an empty `tenant_id`, for every tenant of the calling user.

    Events with the same `event_id` are stored once.
    """
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
    event = ActivityRecorded(tenant_id=tenant_id, activity=activity)
    return msgspec.structs.replace(event, event_id=event_id) if event_id else event


@dataclass(slots=True)
class _Window:
    """The denials of one kind within WINDOW_S."""

    ends_at: float
    first: ActivityRecorded
    reported: int = 1
    suppressed: int = 0


class DenialReporter:
    """Reports denied access to the activity log: a limited number of each kind per minute, then a summary.

    A kind is a tenant, actor, action and resource. `publish` must not block.
    """

    def __init__(self, publish: Callable[[ActivityRecorded], None]) -> None:
        self._publish = publish
        # By kind, in the order in which the windows end.
        self._windows: OrderedDict[tuple[str, str, str, str], _Window] = OrderedDict()

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
        """Report a denial, or count it after `per_minute` of its kind. Tenancy ignores unknown tenants."""
        self.report_suppressed()
        key = (tenant_id, caller.actor, action, resource)
        window = self._windows.get(key)
        if window is not None and window.reported >= per_minute:
            window.suppressed += 1
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
        if window is None:
            self._windows[key] = _Window(time.monotonic() + WINDOW_S, event)
        else:
            window.reported += 1
        self._publish(event)

    def report_suppressed(self) -> None:
        """Close the windows that ended, or the oldest ones over MAX_WINDOWS, and report what they suppressed."""
        at = time.monotonic()
        while self._windows:
            key, oldest = next(iter(self._windows.items()))
            if oldest.ends_at > at and len(self._windows) < MAX_WINDOWS:
                return
            del self._windows[key]
            if oldest.suppressed:
                self._publish(_build_summary(oldest))

    async def flush(self) -> None:
        """`report_suppressed` as a periodic job."""
        self.report_suppressed()


def _build_summary(window: _Window) -> ActivityRecorded:
    first = window.first.activity
    activity = msgspec.structs.replace(
        first,
        activity_id=new_id(),
        action=f"{first.action}_again",
        metadata={"count": window.suppressed},
        timestamp=now(),
    )
    return ActivityRecorded(tenant_id=window.first.tenant_id, activity=activity)
