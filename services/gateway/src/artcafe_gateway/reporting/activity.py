"""Reports of logins and of denied access to the activity log."""

import asyncio
from typing import Any

import msgspec

from artcafe_common.activity_reporting import DenialReporter, build_activity_event
from artcafe_common.broker.subjects import ForbiddenSubject
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_gateway.reporting.presence import PresenceReporter

LOGIN_REPORT_WAIT_S = 1.0
# Per user and organization; further denials are summarized.
MAX_DENIALS_PER_MINUTE = 10


async def report_login(bus: Bus, presence: PresenceReporter, caller: CallerContext, user_id: str) -> None:
    """Report a login, which has succeeded: without the broker, the entry is queued, and the tokens are not lost."""
    actor = f"user:{user_id}"
    event = build_activity_event(
        msgspec.structs.replace(caller, actor=actor), ActivityType.AUTH, "user.login", actor, tenant_id=""
    )
    try:
        async with asyncio.timeout(LOGIN_REPORT_WAIT_S):
            await bus.publish(event)
    except (CommandError, TimeoutError):
        # It may have been stored nevertheless; its id is the same.
        presence.enqueue(event)


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
