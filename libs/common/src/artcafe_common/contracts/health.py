"""Every service's own word on its state."""

import msgspec

from artcafe_common.bus.command import Command


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """`checks` maps each thing that a service needs to "ok" or to what is wrong with it."""

    status: str
    version: str
    server_id: str
    checks: dict[str, str] = {}


class IdentityHealth(Command[HealthReport], frozen=True, kw_only=True):
    """How identity is."""

    subject = "artcafe.identity.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


class TenancyHealth(Command[HealthReport], frozen=True, kw_only=True):
    """How tenancy is."""

    subject = "artcafe.tenancy.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


class PresenceHealth(Command[HealthReport], frozen=True, kw_only=True):
    """How presence is."""

    subject = "artcafe.presence.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


class MeteringHealth(Command[HealthReport], frozen=True, kw_only=True):
    """How metering is."""

    subject = "artcafe.metering.health"
    callers = ("gateway", "admin")
    deadline_s = 2.0


HEALTH_COMMANDS: dict[str, type[Command[HealthReport]]] = {
    "identity": IdentityHealth,
    "tenancy": TenancyHealth,
    "presence": PresenceHealth,
    "metering": MeteringHealth,
}
