"""The activity log as the gateway sees it: refusals that it has to tell, and what dashboards are shown."""

from typing import Any

from artcafe_common.activity_reporting import DenialReporter
from artcafe_common.broker.subjects import ForbiddenSubject
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.tenancy.activity import ActivityRecorded
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.socket import Socket

# Refusals of one person at an organization's door that are told each minute.
DENIALS_A_MINUTE = 10


def report_access_denied(
    denials: DenialReporter, caller: CallerContext, tenant_id: str, method: str, path: str
) -> None:
    """Tell an organization of who was refused at its door; who asked learns nothing of it."""
    denials.report(
        caller,
        "access.denied",
        f"account:{tenant_id}",
        tenant_id=tenant_id,
        per_minute=DENIALS_A_MINUTE,
        metadata={"method": method, "path": path[:256]},
    )


def report_forbidden_frame(
    denials: DenialReporter, caller: CallerContext, error: CommandError, received: Any
) -> None:
    """Tell an organization of its own that asked for what they may not; any other refusal is no denial."""
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
    """Shows new entries to the dashboards of their organization."""

    def __init__(self) -> None:
        self._dashboards: dict[str, dict[Socket, None]] = {}

    def add_dashboard(self, tenant_id: str, socket: Socket) -> None:
        """Show a dashboard what happens from now on."""
        self._dashboards.setdefault(tenant_id, {})[socket] = None

    def remove_dashboard(self, tenant_id: str, socket: Socket) -> None:
        """Show it no more."""
        some = self._dashboards.get(tenant_id, {})
        some.pop(socket, None)
        if not some:
            self._dashboards.pop(tenant_id, None)

    async def publish(self, event: ActivityRecorded) -> None:
        """An entry is in the log."""
        if not event.kept:
            return
        shown = frames.ActivityShown(activity=event.activity)
        for socket in self._dashboards.get(event.tenant_id, ()):
            socket.send(shown)
