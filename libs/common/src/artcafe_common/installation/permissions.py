"""The NATS permissions of each service, derived from the contracts: the least that each one needs.

A service may publish a command, event or signal only where its contract names it as a caller or publisher.
"""

from collections.abc import Mapping

from artcafe_common.broker.claims import Permission, ResponsePermission, UserClaims
from artcafe_common.bus.client import EVENTS_STREAM, inbox_prefix
from artcafe_common.bus.command import Command, Event, Signal, service_of
from artcafe_common.contracts.catalog import declared

# `admin` is the operator's command line.
SERVICES = ("gateway", "identity", "tenancy", "presence", "metering", "admin")
# Presence events for a tenant's account. The fourth token is the account's key, see `installation.bootstrap`.
PRESENCE_EXPORT = "artcafe.tenant.*.presence.*"
INGEST_EXPORT = "artcafe.ingest.*.>"
_CONNECTION_EVENTS = ["$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT"]
_LIST_CONNECTIONS = "$SYS.REQ.SERVER.PING.CONNZ"
# Services with a user in the system account: the subjects that they publish to and subscribe to.
_SYSTEM_SUBJECTS: Mapping[str, tuple[list[str], list[str]]] = {
    "identity": (
        [
            "$SYS.REQ.CLAIMS.*",
            "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
            _LIST_CONNECTIONS,
            "$SYS.REQ.SERVER.*.KICK",
        ],
        [],
    ),
    "presence": ([_LIST_CONNECTIONS], _CONNECTION_EVENTS),
    "metering": ([_LIST_CONNECTIONS], _CONNECTION_EVENTS),
}
_REPLY_TTL_NS = 60 * 10**9


def called_services(service: str) -> list[str]:
    """The services that a service sends commands or signals to."""
    commands = {service_of(command) for command in declared(Command) if service in command.callers}
    signals = {service_of(signal) for signal in declared(Signal) if service in signal.publishers}
    return sorted(commands | signals)


def published_events(service: str) -> list[str]:
    """The nouns of the events that a service publishes: the third token of their subjects."""
    return sorted({noun_of(event) for event in declared(Event) if service in event.publishers})


def durable_consumers(service: str) -> list[str]:
    """The durable consumers of a service: one of its name, and those that events declare as `<service>-<name>`."""
    names = {consumer for event in declared(Event) for consumer in event.consumers}
    return sorted({service} | {name for name in names if name.partition("-")[0] == service})


def noun_of(event: type[Event]) -> str:
    """The noun in `artcafe.events.<noun>.<verb>`."""
    return event.subject.split(".")[2]


def service_permissions(service: str) -> UserClaims:
    """The permissions of a service in the platform's account."""
    inbox = f"{inbox_prefix(service)}.>"
    publish = [f"artcafe.{callee}.>" for callee in called_services(service)]
    publish += [f"artcafe.events.{noun}.*" for noun in published_events(service)]
    publish += _stream_subjects(EVENTS_STREAM, durable_consumers(service))
    subscribe = [inbox, f"artcafe.{service}.>", "$SRV.>", "artcafe.events.>"]
    match service:
        case "presence":
            publish.append(PRESENCE_EXPORT)
            subscribe.append("artcafe.ingest.>")
        case "admin":
            publish.append("$SRV.>")
            subscribe = [inbox]
    return UserClaims(
        pub=Permission(allow=publish),
        sub=Permission(allow=subscribe),
        resp=ResponsePermission(max=1, ttl=_REPLY_TTL_NS),
    )


def system_permissions() -> dict[str, UserClaims]:
    """The permissions of each service that has a user in the system account."""
    return {
        service: UserClaims(
            pub=Permission(allow=publish),
            sub=Permission(allow=[*subscribe, f"{inbox_prefix(service)}.>"]),
        )
        for service, (publish, subscribe) in _SYSTEM_SUBJECTS.items()
    }


def callout_permissions() -> UserClaims:
    """The permissions of identity's user in the callout account: it answers authorization requests only."""
    return UserClaims(
        pub=Permission(deny=[">"]),
        sub=Permission(allow=["$SYS.REQ.USER.AUTH", f"{inbox_prefix('identity')}.>"]),
        resp=ResponsePermission(max=1, ttl=10**10),
    )


def _stream_subjects(stream: str, durables: list[str]) -> list[str]:
    subjects = [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE")]
    for durable in durables:
        subjects += [
            f"$JS.API.CONSUMER.CREATE.{stream}.{durable}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable}",
            f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
            f"$JS.ACK.{stream}.{durable}.>",
        ]
    return subjects
