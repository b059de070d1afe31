"""The reference of the `artcafe` command, from its declarations."""

from collections.abc import Iterator
from typing import Any

import typer.main

from artcafe_common.cli.__main__ import FOR_OPERATORS, FOR_USERS, app
from docs.generate.markdown import code, sentence
from docs.generate.markdown import table as markdown_table

_PROGRAM = "artcafe"


def for_users() -> str:
    """The commands for users."""
    return _commands(FOR_USERS)


def for_operators() -> str:
    """The commands for operators."""
    return _commands(FOR_OPERATORS)


def _commands(panel: str) -> str:
    commands = _walk(typer.main.get_command(app), _PROGRAM, panel)
    return "\n\n".join(part for name, command in commands for part in _section(name, command))


def _walk(group: Any, name: str, panel: str) -> Iterator[tuple[str, Any]]:
    for part, command in group.commands.items():
        if name == _PROGRAM and command.rich_help_panel != panel:
            continue
        if hasattr(command, "commands"):
            yield from _walk(command, f"{name} {part}", panel)
        else:
            yield f"{name} {part}", command


def _section(name: str, command: Any) -> list[str]:
    parameters = [each for each in command.params if each.name != "help"]
    arguments = [_label(each) for each in parameters if each.param_type_name == "argument"]
    parts = [f"### `{' '.join([name, *arguments])}`", sentence(command.help or "")]
    if parameters:
        header = ("argument or option", "default", "variable", "description")
        parts.append(markdown_table(header, map(_row, parameters)))
    return parts


def _label(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return name if parameter.required else f"[{name}]"
    names = "/".join((*parameter.opts, *parameter.secondary_opts))
    return names if parameter.is_flag else f"{names} {parameter.metavar or 'VALUE'}"


def _row(parameter: Any) -> tuple[str, ...]:
    default = parameter.default
    shown = "" if default in (None, "", False) else getattr(default, "value", default)
    return (
        code(_label(parameter)),
        code(shown),
        code(parameter.envvar or ""),
        sentence(parameter.help or ""),
    )
