"""The NATS permissions of the services: derived from the contracts, and equal to these lists."""

import ast
from pathlib import Path

import pytest

import artcafe_common
from artcafe_common.broker.subjects import covers
from artcafe_common.bus.command import Command, Event, Signal, service_of
from artcafe_common.contracts.catalog import declared
from artcafe_common.installation.permissions import (
    SERVICES,
    callout_permissions,
    noun_of,
    service_permissions,
    system_permissions,
)

ROOT = Path(__file__).parents[3]
SOURCES = {
    **{name: ROOT / f"services/{name}/src" for name in SERVICES if name not in ("admin", "backup")},
    "admin": Path(artcafe_common.__file__).parent / "cli",
    "backup": Path(artcafe_common.__file__).parent / "backup",
}


def consumer(name):
    """What a service publishes to use its consumer of the events."""
    return [
        f"$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.{name}",
        f"$JS.API.CONSUMER.INFO.EVENTS.{name}",
        f"$JS.API.CONSUMER.MSG.NEXT.EVENTS.{name}",
        f"$JS.ACK.EVENTS.{name}.>",
    ]


MESSAGES = {each.__name__: each for kind in (Command, Event, Signal) for each in declared(kind)}
# Credentials are written by `artcafe bootstrap`, so an installation has the permissions of the release that made them: a
# change here needs `artcafe bootstrap --renew` in every installation, and a note for operators in CHANGELOG.md.
EXPECTED = {
    "gateway": (
        [
            "artcafe.gateway.>",
            "artcafe.identity.>",
            "artcafe.metering.>",
            "artcafe.presence.>",
            "artcafe.tenancy.>",
            "artcafe.events.activity.*",
            "artcafe.events.connection.*",
            "artcafe.events.deletion.*",
            "artcafe.events.subscription.*",
            "artcafe.events.usage.*",
            "_INBOX_admin.>",
            "_INBOX_gateway.>",
            "$JS.API.STREAM.CREATE.EVENTS",
            *consumer("gateway"),
        ],
        [
            "_INBOX_gateway.>",
            "artcafe.gateway.>",
            "artcafe.events.account.*",
            "artcafe.events.activity.*",
            "artcafe.events.agent.*",
            "artcafe.events.channel.*",
            "artcafe.events.client.*",
            "artcafe.events.member.*",
            "artcafe.events.presence.*",
            "artcafe.events.quota.*",
        ],
    ),
    "identity": (
        [
            "artcafe.identity.>",
            "artcafe.metering.>",
            "artcafe.presence.>",
            "artcafe.tenancy.>",
            "artcafe.events.activity.*",
            "artcafe.events.deletion.*",
            "_INBOX_admin.>",
            "_INBOX_backup.>",
            "_INBOX_gateway.>",
            "_INBOX_metering.>",
            "_INBOX_presence.>",
            "_INBOX_tenancy.>",
            "$JS.API.STREAM.CREATE.EVENTS",
            "$JS.API.STREAM.INFO.EVENTS",
            "$JS.API.STREAM.UPDATE.EVENTS",
            *consumer("identity"),
            "_R_.>",
        ],
        [
            "_INBOX_identity.>",
            "artcafe.identity.>",
            "$SRV.>",
            "artcafe.events.account.*",
            "artcafe.events.client.*",
            "artcafe.streams.>",
        ],
    ),
    "tenancy": (
        [
            "artcafe.identity.>",
            "artcafe.events.account.*",
            "artcafe.events.activity.*",
            "artcafe.events.agent.*",
            "artcafe.events.channel.*",
            "artcafe.events.client.*",
            "artcafe.events.member.*",
            "artcafe.events.subject.*",
            "_INBOX_admin.>",
            "_INBOX_gateway.>",
            "_INBOX_identity.>",
            "_INBOX_metering.>",
            "_INBOX_presence.>",
            "$JS.API.STREAM.CREATE.EVENTS",
            *consumer("tenancy"),
            *consumer("tenancy-streams"),
        ],
        ["_INBOX_tenancy.>", "artcafe.tenancy.>", "$SRV.>"],
    ),
    "presence": (
        [
            "artcafe.gateway.>",
            "artcafe.identity.>",
            "artcafe.tenancy.>",
            "artcafe.events.activity.*",
            "artcafe.events.deletion.*",
            "artcafe.events.presence.*",
            "_INBOX_admin.>",
            "_INBOX_gateway.>",
            "_INBOX_identity.>",
            "$JS.API.STREAM.CREATE.EVENTS",
            *consumer("presence"),
            "artcafe.tenant.*.presence.*",
        ],
        [
            "_INBOX_presence.>",
            "artcafe.presence.>",
            "$SRV.>",
            "artcafe.events.account.*",
            "artcafe.ingest.>",
        ],
    ),
    "metering": (
        [
            "artcafe.identity.>",
            "artcafe.tenancy.>",
            "artcafe.events.deletion.*",
            "artcafe.events.quota.*",
            "_INBOX_admin.>",
            "_INBOX_gateway.>",
            "_INBOX_identity.>",
            "$JS.API.STREAM.CREATE.EVENTS",
            *consumer("metering"),
            *consumer("metering-deletion"),
        ],
        ["_INBOX_metering.>", "artcafe.metering.>", "$SRV.>", "artcafe.events.account.*"],
    ),
    "admin": (
        [
            "artcafe.gateway.>",
            "artcafe.identity.>",
            "artcafe.metering.>",
            "artcafe.presence.>",
            "artcafe.tenancy.>",
            "$JS.API.STREAM.INFO.EVENTS",
            "$SRV.>",
        ],
        ["_INBOX_admin.>"],
    ),
    "backup": (
        [
            "artcafe.identity.>",
            "$JS.API.STREAM.INFO.EVENTS",
            "$JS.API.STREAM.SNAPSHOT.EVENTS",
            "$JS.API.STREAM.RESTORE.EVENTS",
            "$JS.API.STREAM.DELETE.EVENTS",
            "$JS.SNAPSHOT.>",
        ],
        ["_INBOX_backup.>"],
    ),
}


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_these_permissions_exactly(service):
    permissions = service_permissions(service)
    publish, subscribe = EXPECTED[service]
    assert sorted(permissions.pub.allow) == sorted(publish)
    assert sorted(permissions.sub.allow) == sorted(subscribe)
    assert (permissions.pub.deny, permissions.sub.deny) == ([], [])


def test_no_user_may_respond_elsewhere_than_its_lists_say():
    """A permission to respond takes precedence over the lists."""
    users = [callout_permissions(), *map(service_permissions, SERVICES), *system_permissions().values()]
    assert [user.resp for user in users] == [None] * len(users)
    assert callout_permissions().pub.allow == ["$SYS._INBOX.>"]


@pytest.mark.parametrize("service", SERVICES)
def test_service_may_subscribe_to_the_live_events_that_its_code_names(service):
    live = {
        MESSAGES[call.args[0].id].subject
        for path in SOURCES[service].rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "subscribe"
        and call.args
        and isinstance(call.args[0], ast.Name)
        and call.args[0].id in MESSAGES
    }
    granted = [subject for subject in EXPECTED[service][1] if subject.startswith("artcafe.events.")]
    assert {subject for subject in live if not any(covers(each, subject) for each in granted)} == set()
    assert {each for each in granted if not any(covers(each, subject) for subject in live)} == set()


def test_every_message_declares_who_sends_it():
    for command in declared(Command):
        assert command.callers, command
        assert set(command.callers) <= set(SERVICES) - {service_of(command)}, command
    for message in (*declared(Event), *declared(Signal)):
        assert message.publishers, message
        assert set(message.publishers) <= set(SERVICES), message
    for event in declared(Event):
        assert {consumer.partition("-")[0] for consumer in event.consumers} <= set(SERVICES), event


def names_used(service):
    """The messages that a service's code names, and those of them that it creates."""
    named, created = set(), set()
    for path in SOURCES[service].rglob("*.py"):
        tree = ast.parse(path.read_text())
        # Only names imported from the contracts: other packages have classes of the same names.
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("artcafe_common.")
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in imported & MESSAGES.keys():
                named.add(MESSAGES[node.id])
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                created |= {MESSAGES[node.func.id]} if node.func.id in imported & MESSAGES.keys() else set()
    return named, created


@pytest.mark.parametrize("service", SERVICES)
def test_service_sends_only_what_declares_it(service):
    named, created = names_used(service)
    for message in named:
        if issubclass(message, Command) and service_of(message) != service:
            assert service in message.callers, message
    for message in created:
        if not issubclass(message, Command):
            assert service in message.publishers, message


def test_event_is_named_by_its_noun():
    nouns = {
        subject.split(".")[2]
        for publish, _ in EXPECTED.values()
        for subject in publish
        if subject.startswith("artcafe.events.")
    }
    assert {noun_of(event) for event in declared(Event)} == nouns
