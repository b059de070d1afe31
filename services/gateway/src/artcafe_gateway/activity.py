"""The activity log as the gateway sees it: what it has to tell, and what dashboards are shown."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from artcafe_common.bus.caller import Caller
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.activity import Activity, ActivityRecorded, ActivityStatus, ActivityType
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.socket import Socket

# Denials of one actor in one organization that are told each minute, so that nobody fills its log.
DENIALS_A_MINUTE = 10
REMEMBERED = 10_000
MINUTE_S = 60.0


def happened(
    caller: Caller,
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
    last: ActivityRecorded
    count: int = 0


class Denials:
    """Tells an organization of those who were refused at its door; who asked learns nothing of it."""

    def __init__(self, announce: Callable[[ActivityRecorded], None]) -> None:
        self._announce = announce
        # By tenant and actor, in the order in which they end.
        self._minutes: OrderedDict[tuple[str, str], _Minute] = OrderedDict()

    def note(self, caller: Caller, tenant_id: str, method: str, path: str) -> None:
        """Someone was refused; tenancy drops it where there is no such organization."""
        self.end_minutes()
        event = happened(
            caller,
            ActivityType.ACCESS,
            "access.denied",
            f"account:{tenant_id}",
            tenant_id=tenant_id,
            status=ActivityStatus.DENIED,
            metadata={"method": method, "path": path[:256]},
        )
        key = (tenant_id, caller.actor)
        minute = self._minutes.get(key)
        if minute is None:
            minute = self._minutes[key] = _Minute(time.monotonic() + MINUTE_S, event)
        minute.count += 1
        minute.last = event
        if minute.count <= DENIALS_A_MINUTE:
            self._announce(event)

    def end_minutes(self) -> None:
        """Tell how many were left out in the minutes that are over; the oldest make room for new ones."""
        at = time.monotonic()
        while self._minutes:
            key, oldest = next(iter(self._minutes.items()))
            if oldest.ends_at > at and len(self._minutes) < REMEMBERED:
                return
            del self._minutes[key]
            if oldest.count > DENIALS_A_MINUTE:
                self._announce(_left_out(oldest))

    async def tick(self) -> None:
        """Called now and then."""
        self.end_minutes()


def _left_out(minute: _Minute) -> ActivityRecorded:
    activity = msgspec.structs.replace(
        minute.last.activity,
        activity_id=new_id(),
        action="access.denied_again",
        metadata={"count": minute.count - DENIALS_A_MINUTE},
        timestamp=now(),
    )
    return ActivityRecorded(tenant_id=minute.last.tenant_id, activity=activity)


class ActivityFeed:
    """Shows new entries to the dashboards of their organization."""

    def __init__(self) -> None:
        self._dashboards: dict[str, dict[Socket, None]] = {}

    def join(self, tenant_id: str, socket: Socket) -> None:
        """Show a dashboard what happens from now on."""
        self._dashboards.setdefault(tenant_id, {})[socket] = None

    def leave(self, tenant_id: str, socket: Socket) -> None:
        """Show it no more."""
        some = self._dashboards.get(tenant_id, {})
        some.pop(socket, None)
        if not some:
            self._dashboards.pop(tenant_id, None)

    async def show(self, event: ActivityRecorded) -> None:
        """An entry is in the log."""
        if not event.kept:
            return
        shown = frames.ActivityShown(activity=event.activity)
        for socket in self._dashboards.get(event.tenant_id, ()):
            socket.send(shown)
