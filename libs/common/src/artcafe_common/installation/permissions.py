"""The NATS permissions of each service, derived from the contracts: the least that each one needs.

A service may publish a command, event or signal only where its contract names it as a caller or publisher. It replies
to its callers on their inboxes; it has no permission to respond elsewhere, which would take precedence over its lists.
"""

from collections.abc import Mapping

from artcafe_common.broker.claims import Permission, UserClaims
from artcafe_common.broker.system_account import ACCOUNT_EVENTS, ACCOUNT_TOTALS, DISCONNECT_EVENTS
from artcafe_common.bus.client import inbox_prefix
from artcafe_common.bus.command import Command, Event, Signal, service_of
from artcafe_common.bus.events_stream import EVENTS_STREAM
from artcafe_common.contracts.catalog import declared
from artcafe_common.contracts.stream_api import STREAM_API_ROOT

# `admin` is the operator's command line, `backup` its commands for backups.
SERVICES = ("gateway", "identity", "tenancy", "presence", "metering", "admin", "backup")
# Presence events for a tenant's account. The fourth token is the account's key, see `installation.bootstrap`.
PRESENCE_EXPORT = "artcafe.tenant.*.presence.*"
INGEST_EXPORT = "artcafe.ingest.*.>"
STREAM_API_EXPORT = f"{STREAM_API_ROOT}.*.>"
# Of all servers, and of one; and which accounts have any.
_LIST_CONNECTIONS = ("$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.CONNZ", ACCOUNT_TOTALS)
_LIST_STREAMS = "$SYS.REQ.SERVER.PING.JSZ"
# Every request to all servers asks for them too: they tell how many servers there are.
_READ_STATISTICS = "$SYS.REQ.SERVER.PING.STATSZ"
# Says which keys of the operator each server trusts, for `artcafe keys rotate operator`.
_READ_SETTINGS = "$SYS.REQ.SERVER.PING.VARZ"
_KICK = "$SYS.REQ.SERVER.*.KICK"
# Services with a user in the system account: the subjects that they publish to and subscribe to.
_SYSTEM_SUBJECTS: Mapping[str, tuple[list[str], list[str]]] = {
    "identity": (
        [
            "$SYS.REQ.CLAIMS.*",
            "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
            *_LIST_CONNECTIONS,
            _LIST_STREAMS,
            _READ_STATISTICS,
            _READ_SETTINGS,
            _KICK,
        ],
        [],
    ),
    "presence": ([*_LIST_CONNECTIONS, _READ_STATISTICS, _KICK], [ACCOUNT_EVENTS]),
    "metering": (
        [*_LIST_CONNECTIONS, _LIST_STREAMS, _READ_STATISTICS, _KICK],
        [DISCONNECT_EVENTS],
    ),
}
# The services that subscribe to events as they are published, and the nouns of those events.
_LIVE_EVENTS: Mapping[str, tuple[str, ...]] = {
    "gateway": ("account", "activity", "agent", "channel", "client", "member", "presence", "quota"),
    "identity": ("account", "client"),
    "presence": ("account",),
    "metering": ("account",),
}
# The broker's own inboxes, where it awaits the answers of the auth callout.
_BROKER_INBOXES = "$SYS._INBOX.>"
# The broker replaces the reply subject of a request from another account by one of these.
_REPLIES_ACROSS_ACCOUNTS = "_R_.>"


def called_services(service: str) -> list[str]:
    """The services that a service sends commands or signals to."""
    commands = {service_of(command) for command in declared(Command) if service in command.callers}
    signals = {service_of(signal) for signal in declared(Signal) if service in signal.publishers}
    return sorted(commands | signals)


def calling_services(service: str) -> list[str]:
    """The services that expect replies of a service, on their inboxes."""
    callers = {
        caller
        for command in declared(Command)
        if service_of(command) == service
        for caller in command.callers
    }
    # The gateways ask each other, and the operator asks all of them.
    return sorted({*callers, "gateway", "admin"} if service == "gateway" else callers)


def published_events(service: str) -> list[str]:
    """The nouns of the events that a service publishes: the third token of their subjects."""
    return sorted({noun_of(event) for event in declared(Event) if service in event.publishers})


def durable_consumers(service: str) -> list[str]:
    """The durable consumers of a service, which events declare as `<service>` or `<service>-<name>`."""
    names = {consumer for event in declared(Event) for consumer in event.consumers}
    return sorted(name for name in names if name.partition("-")[0] == service)


def noun_of(event: type[Event]) -> str:
    """The noun in `artcafe.events.<noun>.<verb>`."""
    return event.subject.split(".")[2]


def service_permissions(service: str) -> UserClaims:
    """The permissions of a service in the platform's account."""
    publish = [f"artcafe.{callee}.>" for callee in called_services(service)]
    publish += [f"artcafe.events.{noun}.*" for noun in published_events(service)]
    publish += [f"{inbox_prefix(caller)}.>" for caller in calling_services(service)]
    subscribe = [f"{inbox_prefix(service)}.>"]
    if service == "admin":
        # It looks at the stream of events, and discovers the services.
        publish += [f"$JS.API.STREAM.INFO.{EVENTS_STREAM}", "$SRV.>"]
    elif service == "backup":
        verbs = ("INFO", "SNAPSHOT", "RESTORE", "DELETE")
        publish += [*(f"$JS.API.STREAM.{verb}.{EVENTS_STREAM}" for verb in verbs), "$JS.SNAPSHOT.>"]
    else:
        publish += [f"$JS.API.STREAM.CREATE.{EVENTS_STREAM}"]
        if service == "identity":
            # It brings the stream into line.
            publish += [f"$JS.API.STREAM.{verb}.{EVENTS_STREAM}" for verb in ("INFO", "UPDATE")]
        publish += _consumer_subjects(EVENTS_STREAM, durable_consumers(service))
        subscribe.append(f"artcafe.{service}.>")
        subscribe += [f"artcafe.events.{noun}.*" for noun in _LIVE_EVENTS.get(service, ())]
    if service not in ("admin", "backup", "gateway"):
        # A micro service answers discovery.
        subscribe.append("$SRV.>")
    if service == "presence":
        publish.append(PRESENCE_EXPORT)
        subscribe.append("artcafe.ingest.>")
    if service == "identity":
        subscribe.append(f"{STREAM_API_ROOT}.>")
        publish.append(_REPLIES_ACROSS_ACCOUNTS)
    return UserClaims(pub=Permission(allow=publish), sub=Permission(allow=subscribe))


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
        pub=Permission(allow=[_BROKER_INBOXES]),
        sub=Permission(allow=["$SYS.REQ.USER.AUTH", f"{inbox_prefix('identity')}.>"]),
    )


def _consumer_subjects(stream: str, durables: list[str]) -> list[str]:
    return [
        subject
        for durable in durables
        for subject in (
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable}",
            f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
            f"$JS.ACK.{stream}.{durable}.>",
        )
    ]
