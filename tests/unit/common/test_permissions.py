"""The NATS permissions of the services: derived from the contracts, equal to those of existing credentials."""

import ast
from pathlib import Path

import pytest

import artcafe_common
from artcafe_common.bus.command import Command, Event, Signal, service_of
from artcafe_common.contracts.catalog import declared
from artcafe_common.installation.permissions import (
    SERVICES,
    called_services,
    durable_consumers,
    noun_of,
    published_events,
    service_permissions,
)

ROOT = Path(__file__).parents[3]
SOURCES = {
    **{name: ROOT / f"services/{name}/src" for name in SERVICES if name != "admin"},
    "admin": Path(artcafe_common.__file__).parent / "cli",
}
MESSAGES = {each.__name__: each for kind in (Command, Event, Signal) for each in declared(kind)}
# Credentials are written once, so an installation has the permissions of the release that made it: a change
# here needs new credentials in every installation, and a note for operators in CHANGELOG.md.
EXPECTED = {
    "gateway": (
        {"identity", "tenancy", "presence", "metering", "gateway"},
        {"connection", "usage", "activity", "subscription"},
        {"gateway"},
    ),
    "identity": ({"tenancy"}, {"activity"}, {"identity"}),
    "tenancy": (
        {"identity"},
        {"agent", "client", "member", "channel", "subject", "account", "activity"},
        {"tenancy", "tenancy-streams"},
    ),
    "presence": (set(), {"presence"}, {"presence"}),
    "metering": ({"identity", "tenancy"}, {"quota"}, {"metering"}),
    "admin": ({"identity", "tenancy", "presence", "metering"}, set(), {"admin"}),
}


@pytest.mark.parametrize("service", SERVICES)
def test_existing_credentials_have_the_derived_permissions(service):
    called, published, durables = EXPECTED[service]
    assert set(called_services(service)) == called
    assert set(published_events(service)) == published
    assert set(durable_consumers(service)) == durables


@pytest.mark.parametrize("service", SERVICES)
def test_service_publishes_only_to_declared_subjects(service):
    called, published, durables = EXPECTED[service]
    streams = ["EVENTS"]
    allowed = {f"artcafe.{callee}.>" for callee in called}
    allowed |= {f"artcafe.events.{noun}.*" for noun in published}
    for stream in streams:
        allowed |= {f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE")}
        for name in durables:
            consumer = f"{stream}.{name}"
            allowed |= {f"$JS.API.CONSUMER.{verb}.{consumer}" for verb in ("CREATE", "INFO", "MSG.NEXT")}
            allowed |= {
                f"$JS.API.CONSUMER.CREATE.{consumer}.>",
                f"$JS.API.CONSUMER.DURABLE.CREATE.{consumer}",
            }
            allowed |= {f"$JS.ACK.{consumer}.>"}
    allowed |= {
        "presence": {"artcafe.tenant.*.presence.*"},
        "admin": {"$SRV.>"},
    }.get(service, set())
    permissions = service_permissions(service)
    assert set(permissions.pub.allow) == allowed
    subscribed = {f"_INBOX_{service}.>"}
    if service != "admin":
        subscribed |= {f"artcafe.{service}.>", "$SRV.>", "artcafe.events.>"}
    if service == "presence":
        subscribed |= {"artcafe.ingest.>"}
    assert set(permissions.sub.allow) == subscribed
    assert (permissions.pub.deny, permissions.sub.deny) == ([], [])


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
    assert {noun_of(event) for event in declared(Event)} == set().union(*(e[1] for e in EXPECTED.values()))
