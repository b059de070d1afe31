"""The contracts: each command has one subject and one endpoint, each error one code."""

import importlib
import inspect
import re
from collections import Counter

import pytest

from artcafe_common.bus.command import Command, Event, Signal, reply_type, service_of
from artcafe_common.bus.endpoints import collect_handlers
from artcafe_common.contracts.catalog import declared
from artcafe_common.contracts.health import HEALTH_COMMANDS
from docs.generate.declarations import every_error

SERVICES = ("identity", "tenancy", "presence", "metering")
COMMANDS = declared(Command)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.__name__)
def test_command_declaration_is_complete(command):
    service = service_of(command)
    # The module or package of one service, right below `contracts`.
    module = command.__module__.removeprefix("artcafe_common.contracts.").partition(".")[0]
    assert command.subject.startswith("artcafe.")
    assert service in SERVICES
    assert module in (service, "health")
    assert re.fullmatch(r"artcafe\.[a-z]+(\.[a-z_]+){1,2}", command.subject)
    assert inspect.cleandoc(command.__doc__ or "")
    assert command.__doc__ != Command.__doc__
    assert isinstance(reply_type(command), type)
    assert 0 < command.deadline_s <= 30
    assert len({error.code for error in command.raises}) == len(command.raises)


def test_subjects_are_unique():
    everything = [*COMMANDS, *declared(Event), *declared(Signal)]
    assert [s for s, n in Counter(each.subject for each in everything).items() if n > 1] == []


def test_event_and_signal_declarations_are_complete():
    for kind in (*declared(Event), *declared(Signal)):
        assert kind.__doc__ not in (None, Event.__doc__, Signal.__doc__), kind
        prefix = "artcafe.events." if issubclass(kind, Event) else "artcafe."
        assert kind.subject.startswith(prefix), kind


def test_every_command_has_exactly_one_endpoint():
    answered = Counter()
    for service in SERVICES:
        found = collect_handlers(importlib.import_module(f"artcafe_{service}.endpoints").Endpoints)
        assert {service_of(command) for command in found} == {service}
        answered.update(list(found))
    answered.update(list(HEALTH_COMMANDS.values()))
    assert answered == Counter(dict.fromkeys(COMMANDS, 1))


def test_every_error_has_a_unique_code_a_cause_and_a_remedy():
    errors = every_error()
    codes = Counter(error.code for error in errors)
    assert [code for code, count in codes.items() if count > 1] == []
    for error in errors:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code), error
        assert 400 <= error.status <= 599, error
        assert error.title, error
        assert error.__doc__, error
        assert error.remedy, error
