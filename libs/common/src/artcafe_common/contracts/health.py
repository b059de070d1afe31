"""Contract of the health checks, which every service answers."""

from datetime import datetime

import msgspec

from artcafe_common.bus.command import Command, Signal


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a service. `checks` maps each of its dependencies to "ok" or the problem.

    `revision` is the source revision that was deployed; empty if the deployment did not say.
    """

    status: str
    version: str
    server_id: str
    revision: str = ""
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


class InstanceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a service. `clock` is its time when it replied; `worker` its number in a gateway of several."""

    service: str
    instance: str
    worker: str = ""
    started_at: datetime
    clock: datetime
    health: HealthReport


class IdentityInstances(Signal, frozen=True, kw_only=True):
    """Asks every process of identity for an InstanceReport."""

    subject = "artcafe.identity.instances"
    publishers = ("admin",)


class TenancyInstances(Signal, frozen=True, kw_only=True):
    """Asks every process of tenancy for an InstanceReport."""

    subject = "artcafe.tenancy.instances"
    publishers = ("admin",)


class PresenceInstances(Signal, frozen=True, kw_only=True):
    """Asks every process of presence for an InstanceReport."""

    subject = "artcafe.presence.instances"
    publishers = ("admin",)


class MeteringInstances(Signal, frozen=True, kw_only=True):
    """Asks every process of metering for an InstanceReport."""

    subject = "artcafe.metering.instances"
    publishers = ("admin",)


class GatewayInstances(Signal, frozen=True, kw_only=True):
    """Asks every process of gateway for an InstanceReport."""

    subject = "artcafe.gateway.instances"
    publishers = ("admin",)


INSTANCE_SIGNALS: dict[str, type[Signal]] = {
    "gateway": GatewayInstances,
    "identity": IdentityInstances,
    "tenancy": TenancyInstances,
    "presence": PresenceInstances,
    "metering": MeteringInstances,
}
