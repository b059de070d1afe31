"""Generates the error classes of the TypeScript SDK: one for each error code of the server."""

import json
import textwrap
from pathlib import Path

from artcafe_common.bus.errors import CommandError
from docs.generate.declarations import every_error
from docs.generate.markdown import sentence

MODULE = Path(__file__).parents[2] / "libs/client-js/src/error-codes.ts"
_WIDTH = 120
_HEADER = """\
// The errors of the server's error codes, one class each. `make docs` generates this module from the errors that the
// services declare.

import { ServerError } from "./errors.js";
"""


def module(_text: str) -> str:
    """The module `error-codes.ts`."""
    errors = every_error()
    classes = "\n\n".join(map(_declaration, errors))
    table = "".join(f"  {error.code}: {error.__name__},\n" for error in errors)
    return (
        f"{_HEADER}\n{classes}\n\n/** The class of each error code. */\n"
        f"export const ERRORS: Readonly<Record<string, typeof ServerError>> = {{\n{table}}};\n"
    )


def _declaration(error: type[CommandError]) -> str:
    cause = sentence(error.__doc__ or error.title)
    paragraphs = [cause, *([f"Remedy: {sentence(error.remedy)}"] if error.remedy else [])]
    text = "\n".join("\n".join(_comment(each)) for each in paragraphs)
    return (
        f"/**\n{text}\n */\nexport class {error.__name__} extends ServerError {{\n"
        f"  static override readonly code = {json.dumps(error.code)};\n"
        f"  static override readonly status = {error.status};\n}}"
    )


def _comment(text: str) -> list[str]:
    escaped = text.replace("*/", "*\\/").replace("@", "\\@")
    return [f" * {line}" for line in textwrap.wrap(escaped, _WIDTH - 3)]
