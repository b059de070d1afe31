"""Output of commands: tables for people, JSON for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

# Without a terminal there is no width, so nothing is wrapped or cut in a pipe.
PIPE_WIDTH = 4096
Rows = Iterable[Mapping[str, Any]]
Columns = Sequence[str]


def print_json(document: Any) -> None:
    """Print one JSON document on one line of standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.buffer.flush()


def print_line(text: str) -> None:
    """Print one line of the result to standard output."""
    sys.stdout.write(f"{escape_unprintable(text)}\n")
    sys.stdout.flush()


def print_notice(text: str) -> None:
    """Print a message that is not part of the result, to standard error."""
    sys.stderr.write(f"{escape_unprintable(text)}\n")
    sys.stderr.flush()


def print_table(rows: Rows, columns: Columns) -> None:
    """Print rows under a header of the columns' names."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(format_value(row.get(column))) for column in columns))
    _console().print(table)


def print_fields(document: Mapping[str, Any], fields: Columns | None = None) -> None:
    """Print a document with one field per line."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for field in fields or list(document):
        table.add_row(_text(field), _text(format_value(document.get(field))))
    _console().print(table)


def format_value(value: Any) -> str:
    """Format a value for people."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return escape_unprintable(str(value))
    return escape_unprintable(msgspec.json.encode(value).decode())


def escape_unprintable(text: str) -> str:
    """Escape control characters, because names and messages of others could control the terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(text)  # rich would read markup in a plain string


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
