"""The activity log: reports of denied access, and the feed of new entries to dashboards."""

from typing import Any

from artcafe_common.activity_reporting import DenialReporter
from artcafe_common.broker.subjects import ForbiddenSubject
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.tenancy.activity import ActivityRecorded
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.socket import Socket

# Per user and organization; further denials are summarized.
MAX_DENIALS_PER_MINUTE = 10


def report_access_denied(
    denials: DenialReporter, caller: CallerContext, tenant_id: str, method: str, path: str
) -> None:
    """Reports to an organization that a user who is not its member was denied access."""
    denials.report(
        caller,
        "access.denied",
        f"account:{tenant_id}",
        tenant_id=tenant_id,
        per_minute=MAX_DENIALS_PER_MINUTE,
        metadata={"method": method, "path": path[:256]},
    )


def report_forbidden_frame(
    denials: DenialReporter, caller: CallerContext, error: CommandError, received: Any
) -> None:
    """Reports a frame that was rejected with `forbidden_subject`; other errors are not denials."""
    if not isinstance(error, ForbiddenSubject):
        return
    metadata = {"frame": received.__struct_config__.tag}
    for name in ("subject", "channel", "topic", "pattern"):
        if value := getattr(received, name, None):
            metadata[name] = value[:256]
    denials.report(
        caller, "access.subject_denied", caller.actor, tenant_id=caller.tenant_id, metadata=metadata
    )


class ActivityFeed:
    """Sends new activity entries to the dashboards of their organization."""

    def __init__(self) -> None:
        self._dashboards: dict[str, dict[Socket, None]] = {}

    def add_dashboard(self, tenant_id: str, socket: Socket) -> None:
        """Sends further entries to a dashboard."""
        self._dashboards.setdefault(tenant_id, {})[socket] = None

    def remove_dashboard(self, tenant_id: str, socket: Socket) -> None:
        """Stops sending entries to a dashboard. Idempotent."""
        sockets = self._dashboards.get(tenant_id, {})
        sockets.pop(socket, None)
        if not sockets:
            self._dashboards.pop(tenant_id, None)

    async def publish(self, event: ActivityRecorded) -> None:
        """Sends an entry that has been stored."""
        if not event.stored:
            return
        frame = frames.ActivityEntry(activity=event.activity)
        for socket in self._dashboards.get(event.tenant_id, ()):
            socket.send(frame)
