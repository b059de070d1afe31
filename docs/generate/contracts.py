"""The tables of commands, events and signals, from the contracts."""

import inspect
from typing import Any, TypeVar

from artcafe_common.bus.command import Command, Event, Signal, reply_type, service_of
from docs.generate.declarations import import_all
from docs.generate.markdown import code, sentence
from docs.generate.markdown import table as markdown_table

T = TypeVar("T")


def commands() -> str:
    """One table for each service that answers commands."""
    found: dict[str, list[type[Command[Any]]]] = {}
    for command in _declared(Command):
        found.setdefault(service_of(command), []).append(command)
    parts = []
    for service, declared in sorted(found.items()):
        rows = [
            (code(each.__name__), code(each.subject), code(reply_type(each).__name__), _doc(each))
            for each in declared
        ]
        header = ("command", "subject", "reply", "description")
        parts += [f"### {service.capitalize()}", markdown_table(header, rows)]
    return "\n\n".join(parts)


def events() -> str:
    """One row for each event."""
    return _messages(Event)


def signals() -> str:
    """One row for each signal."""
    return _messages(Signal)


def _messages(base: type[Event] | type[Signal]) -> str:
    rows = [(code(each.__name__), code(each.subject), _doc(each)) for each in _declared(base)]
    return markdown_table(("name", "subject", "description"), rows)


def _declared(base: type[T]) -> list[type[T]]:
    import_all()
    found: set[type[T]] = set()
    queue = [base]
    while queue:
        below = [each for each in queue.pop().__subclasses__() if each.__module__.startswith("artcafe_")]
        found.update(each for each in below if getattr(each, "subject", ""))
        queue += below
    return sorted(found, key=lambda each: str(getattr(each, "subject", "")))


def _doc(kind: type[Any]) -> str:
    return sentence(inspect.getdoc(kind) or "")
