"""What commands print: tables for people, JSON for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

# No terminal, no width: nothing is broken or cut for whoever reads a pipe.
WIDE = 4096
Rows = Iterable[Mapping[str, Any]]
Columns = Sequence[str]


def as_json(document: Any) -> None:
    """One JSON document on a line of its own."""
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """A line for people that is not the answer; standard output stays the answer's."""
    sys.stderr.write(f"{clean(text)}\n")
    sys.stderr.flush()


def line(text: str) -> None:
    """One line of the answer."""
    sys.stdout.write(f"{clean(text)}\n")
    sys.stdout.flush()


def table(rows: Rows, columns: Columns) -> None:
    """Rows under their columns' names."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(_text(shown(row.get(column))) for column in columns))
    _console().print(made)


def facts(document: Mapping[str, Any], fields: Columns | None = None) -> None:
    """One thing, a field a line."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for field in fields or list(document):
        made.add_row(_text(field), _text(shown(document.get(field))))
    _console().print(made)


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return clean(str(value))
    return clean(msgspec.json.encode(value).decode())


def clean(text: str) -> str:
    """Text that cannot steer the terminal: names and messages are other people's."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(text)  # a plain string would be read as markup


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
