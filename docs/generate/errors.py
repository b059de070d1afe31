"""The reference of error codes."""

from artcafe_common.bus.errors import CommandError
from docs.generate.declarations import every_error
from docs.generate.markdown import anchor, code, sentence
from docs.generate.markdown import table as markdown_table


def sections() -> str:
    """An index by status, then one section for each code."""
    errors = every_error()
    return "\n\n".join([_index(errors), *(_section(error) for error in errors)])


def _index(errors: list[type[CommandError]]) -> str:
    rows = []
    for status in sorted({error.status for error in errors}):
        codes = [error.code for error in errors if error.status == status]
        rows.append((str(status), ", ".join(f"[{code(each)}](#{anchor(each)})" for each in codes)))
    return markdown_table(("status", "codes"), rows)


def _section(error: type[CommandError]) -> str:
    lines = [
        f"## `{error.code}`",
        f"**{error.status}** {sentence(error.title)}",
        f"*Cause:* {sentence(error.__doc__ or '')}",
    ]
    if error.remedy:
        lines.append(f"*Remedy:* {sentence(error.remedy)}")
    return "\n\n".join(lines)
