"""Helpers that write Markdown."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

_WIDTH = 100


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Text in a fixed-width font; empty text stays empty."""
    return f"`{text}`" if str(text) else ""


def json_block(value: Any) -> str:
    """A value as a block of JSON on as few lines as its width allows."""
    return f"```json\n{_wrapped(value)}\n```"


def json_lines(values: Iterable[Any]) -> str:
    """Values as a block of JSON, one line each."""
    return "```json\n" + "\n".join(map(one_line, values)) + "\n```"


def one_line(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def _wrapped(value: Any, indent: int = 0) -> str:
    line = one_line(value)
    if len(line) + indent <= _WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        members = [f"{inner}{one_line(name)}: {_wrapped(each, indent + 2)}" for name, each in value.items()]
        return "{\n" + ",\n".join(members) + "\n" + " " * indent + "}"
    return (
        "[\n" + ",\n".join(inner + _wrapped(each, indent + 2) for each in value) + "\n" + " " * indent + "]"
    )


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def sentence(text: str) -> str:
    """A docstring's text on one line, with a full stop."""
    text = " ".join(text.split())
    return text if not text or text.endswith((".", "!", "?", ":")) else f"{text}."
