"""The activity log as the gateway sees it: what it has to tell, and what dashboards are shown."""

import time
from collections import OrderedDict
from typing import Any

from artcafe_common.bus.caller import Caller
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.activity import Activity, ActivityRecorded, ActivityStatus, ActivityType
from artcafe_gateway.liveness import Liveness
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


class Denials:
    """Tells an organization of those who were refused at its door; who asked learns nothing of it."""

    def __init__(self, liveness: Liveness) -> None:
        self._liveness = liveness
        # (tenant, actor): when their minute began, and how many there were in it
        self._seen: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def note(self, caller: Caller, tenant_id: str, method: str, path: str) -> None:
        """Someone was refused; tenancy drops it where there is no such organization."""
        at = time.monotonic()
        seen = self._seen.setdefault((tenant_id, caller.actor), [at, 0])
        if at - seen[0] > MINUTE_S:
            seen[:] = [at, 0]
        seen[1] += 1
        self._seen.move_to_end((tenant_id, caller.actor))
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if seen[1] <= DENIALS_A_MINUTE:
            self._liveness.announce(
                happened(
                    caller,
                    ActivityType.ACCESS,
                    "access.denied",
                    f"account:{tenant_id}",
                    tenant_id=tenant_id,
                    status=ActivityStatus.DENIED,
                    metadata={"method": method, "path": path[:256]},
                )
            )


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
