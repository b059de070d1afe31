"""The tables of commands, events and signals, from the contracts."""

import inspect
from typing import Any

from artcafe_common.bus.command import Command, Event, Signal, reply_type, service_of
from artcafe_common.contracts.catalog import declared
from docs.generate.markdown import code, sentence
from docs.generate.markdown import table as markdown_table


def commands() -> str:
    """One table for each service that answers commands."""
    by_service: dict[str, list[type[Command[Any]]]] = {}
    for command in sorted(declared(Command), key=lambda each: each.subject):
        by_service.setdefault(service_of(command), []).append(command)
    parts = []
    for service, some in sorted(by_service.items()):
        rows = [
            (
                code(each.__name__),
                code(each.subject),
                code(reply_type(each).__name__),
                ", ".join(each.callers),
                _doc(each),
            )
            for each in some
        ]
        header = ("command", "subject", "reply", "callers", "description")
        parts += [f"### {service.capitalize()}", markdown_table(header, rows)]
    return "\n\n".join(parts)


def events() -> str:
    """One row for each event."""
    rows = [
        (
            code(each.__name__),
            code(each.subject),
            ", ".join(each.publishers),
            ", ".join(each.consumers),
            _doc(each),
        )
        for each in sorted(declared(Event), key=lambda each: each.subject)
    ]
    return markdown_table(("name", "subject", "publishers", "durable consumers", "description"), rows)


def signals() -> str:
    """One row for each signal."""
    rows = [
        (code(each.__name__), code(each.subject), ", ".join(each.publishers), _doc(each))
        for each in sorted(declared(Signal), key=lambda each: each.subject)
    ]
    return markdown_table(("name", "subject", "publishers", "description"), rows)


def _doc(kind: type[Any]) -> str:
    return sentence(inspect.getdoc(kind) or "")
