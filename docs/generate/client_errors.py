"""Generates the exceptions of the Python SDK: one class for each error code of the server."""

import json
from collections.abc import Callable
from pathlib import Path

from artcafe_common.bus.errors import CommandError
from docs.generate import client_typescript
from docs.generate.declarations import every_error
from docs.generate.markdown import sentence

MODULE = Path(__file__).parents[2] / "libs/client/src/artcafe_client/error_codes.py"
_WIDTH = 110
_HEADER = '''\
"""The exceptions of the server's error codes, one class each.

`make docs` generates this module from the errors that the services declare.
"""

from artcafe_client.errors import ServerError
'''


def module(_text: str) -> str:
    """The module `artcafe_client.error_codes`."""
    errors = every_error()
    names = [error.__name__ for error in errors]
    if len({*names}) != len(names):
        raise ValueError(f"two error codes have classes of one name: {sorted(names)}")
    table = "".join(f"        {name},\n" for name in names)
    classes = "\n\n".join(map(_declaration, errors))
    return (
        f"{_HEADER}\n\n{classes}\n\n"
        f"ERRORS: dict[str, type[ServerError]] = {{\n    each.code: each\n    for each in (\n{table}    )\n}}\n"
    )


def _declaration(error: type[CommandError]) -> str:
    lines = [
        f"class {error.__name__}(ServerError):",
        f'    """{_escaped(sentence(error.__doc__ or error.title))}"""',
        "",
        f"    code = {json.dumps(error.code)}",
        f"    status = {error.status}",
    ]
    if error.remedy:
        lines.append(_assignment("remedy", _quoted(sentence(error.remedy))))
    return "\n".join(lines) + "\n"


def _assignment(name: str, value: str) -> str:
    """As the formatter writes it: in parentheses if it fits into a line only so."""
    line = f"    {name} = {value}"
    if len(line) <= _WIDTH or len(value) + 8 > _WIDTH:
        return line
    return f"    {name} = (\n        {value}\n    )"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _quoted(text: str) -> str:
    """A string as the formatter writes it."""
    return json.dumps(text, ensure_ascii=False) if '"' not in text else repr(text)


# The generated files of the SDKs, and what makes their text.
CLIENT_FILES: dict[Path, Callable[[str], str]] = {MODULE: module, **client_typescript.MODULES}
