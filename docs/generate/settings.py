"""The table of environment variables."""

from docs.generate.declarations import PACKAGES, every_setting
from docs.generate.markdown import code
from docs.generate.markdown import table as markdown_table


def table() -> str:
    """One row for each variable, with the services that read it."""
    rows = []
    for variable, services in every_setting():
        read_by = "all" if len({*services} - {"backup"}) == len(PACKAGES) - 1 else ", ".join(services)
        rows.append((code(variable.env), code(variable.default), variable.unit, read_by, variable.doc))
    return markdown_table(("variable", "default", "unit", "read by", "description"), rows)
