"""Generates modules of the TypeScript SDK: the server's error codes, and the states of a connection."""

import json
import textwrap
from enum import Enum
from pathlib import Path

from artcafe_client.states import TRANSITIONS, Action, Event, State, Transition
from artcafe_common.bus.errors import CommandError
from docs.generate.declarations import every_error
from docs.generate.markdown import sentence

SOURCES = Path(__file__).parents[2] / "libs/client-js/src"
_WIDTH = 120
_ERRORS_HEADER = """\
// The errors of the server's error codes, one class each. `make docs` generates this module from the errors that the
// services declare.

import { ServerError } from "./errors.js";
"""


_STATES_HEADER = """\
// The states of a connection, and what each event does in each state. `make docs` generates this module from the table of
// the Python SDK; docs/guide/python.md describes it.
"""
_STATES_TYPES = """\
export interface Transition {
  to: State;
  actions: readonly Action[];
}

/** An event that is not listed for a state has no effect there. */
export const TRANSITIONS: Record<State, Partial<Record<StateEvent, Transition>>> = {
"""


def error_codes(_text: str) -> str:
    """The module `error-codes.ts`."""
    errors = every_error()
    classes = "\n\n".join(map(_declaration, errors))
    table = "".join(f"  {error.code}: {error.__name__},\n" for error in errors)
    return (
        f"{_ERRORS_HEADER}\n{classes}\n\n/** The class of each error code. */\n"
        f"export const ERRORS: Readonly<Record<string, typeof ServerError>> = {{\n{table}}};\n"
    )


def states(_text: str) -> str:
    """The module `states.ts`."""
    types: dict[str, type[Enum]] = {"State": State, "StateEvent": Event, "Action": Action}
    rows = "".join(_row(state.value, TRANSITIONS[state]) for state in State)
    return f"{_STATES_HEADER}\n{chr(10).join(_union(*each) for each in types.items())}\n{_STATES_TYPES}{rows}}};\n"


def _union(name: str, values: type[Enum]) -> str:
    return f"export type {name} =\n" + "\n".join(f'  | "{each.value}"' for each in values) + ";\n"


def _row(state: str, transitions: dict[Event, Transition]) -> str:
    cells = "".join(
        f"    {event.value}: {{ to: {json.dumps(each.to.value)}, actions: "
        f"{json.dumps([action.value for action in each.actions])} }},\n"
        for event, each in transitions.items()
    )
    return f"  {state}: {{\n{cells}  }},\n" if cells else f"  {state}: {{}},\n"


def _declaration(error: type[CommandError]) -> str:
    cause = sentence(error.__doc__ or error.title)
    paragraphs = [cause, *([f"Remedy: {sentence(error.remedy)}"] if error.remedy else [])]
    text = "\n".join("\n".join(_comment(each)) for each in paragraphs)
    # The package derives the name of a class from its code.
    derived = "".join(word.capitalize() for word in error.code.split("_"))
    name = "" if error.__name__ == derived else f'  override readonly name = "{error.__name__}";\n'
    return (
        f"/**\n{text}\n */\nexport class {error.__name__} extends ServerError {{\n{name}"
        f"  static override readonly code = {json.dumps(error.code)};\n"
        f"  static override readonly status = {error.status};\n}}"
    )


def _comment(text: str) -> list[str]:
    escaped = text.replace("*/", "*\\/").replace("@", "\\@")
    return [f" * {line}" for line in textwrap.wrap(escaped, _WIDTH - 3)]


# The generated modules, and what makes their text.
MODULES = {SOURCES / "error-codes.ts": error_codes, SOURCES / "states.ts": states}
