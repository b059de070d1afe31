"""Contract of the health checks, which every service answers."""

import msgspec

from artcafe_common.bus.command import Command


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a service. `checks` maps each of its dependencies to "ok" or the problem."""

    status: str
    version: str
    server_id: str
    checks: dict[str, str] = {}


class IdentityHealth(Command[HealthReport], frozen=True, kw_only=True):
    """The state of identity."""

    subject = "artcafe.identity.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


class TenancyHealth(Command[HealthReport], frozen=True, kw_only=True):
    """The state of tenancy."""

    subject = "artcafe.tenancy.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


class PresenceHealth(Command[HealthReport], frozen=True, kw_only=True):
    """The state of presence."""

    subject = "artcafe.presence.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


class MeteringHealth(Command[HealthReport], frozen=True, kw_only=True):
    """The state of metering."""

    subject = "artcafe.metering.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


HEALTH_COMMANDS: dict[str, type[Command[HealthReport]]] = {
    "identity": IdentityHealth,
    "tenancy": TenancyHealth,
    "presence": PresenceHealth,
    "metering": MeteringHealth,
}
