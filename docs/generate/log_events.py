"""The table of log events that report a problem, read from the sources."""

import ast
from pathlib import Path

from docs.generate.markdown import code
from docs.generate.markdown import table as markdown_table

_ROOT = Path(__file__).parents[2]
# `exception` logs an error with its traceback.
_LEVELS = {"warning": "warning", "error": "error", "exception": "error", "critical": "critical"}
_SDK = "client"
_LOGGERS = {"log", "self._log"}


def table() -> str:
    """One row for each event that is logged as a warning or an error."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(_ROOT.glob("*/*/src/artcafe_*/**/*.py")):
        package = path.relative_to(_ROOT).parts[3].removeprefix("artcafe_")
        if package == _SDK:
            # It logs where the programs of organizations run.
            continue
        for name, level in _events(ast.parse(path.read_text())):
            found.setdefault((level, name), set()).add("any service" if package == "common" else package)
    rows = [(code(name), level, ", ".join(sorted(found[level, name]))) for level, name in sorted(found)]
    return markdown_table(("event", "level", "logged by"), rows)


def _events(module: ast.Module) -> list[tuple[str, str]]:
    return [
        (call.args[0].value, _LEVELS[call.func.attr])
        for call in ast.walk(module)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in _LEVELS
        and ast.unparse(call.func.value) in _LOGGERS
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]
