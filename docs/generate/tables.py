"""The reference of DynamoDB tables, from their declarations."""

import importlib
import inspect

from artcafe_common.storage.tables import TableSpec
from docs.generate.declarations import PACKAGES
from docs.generate.markdown import code, sentence
from docs.generate.markdown import table as markdown_table


def tables() -> str:
    """One row for each table."""
    rows = []
    for package in PACKAGES:
        try:
            module = importlib.import_module(f"{package}.tables")
        except ModuleNotFoundError:
            continue
        for spec in vars(module).values():
            if isinstance(spec, TableSpec):
                indexes = [f"{code(each.name)} ({_key(each.partition, each.sort)})" for each in spec.indexes]
                rows.append(
                    (
                        code(spec.name),
                        package.removeprefix("artcafe_"),
                        _key(spec.partition, spec.sort),
                        "; ".join(indexes),
                        code(spec.ttl or ""),
                        sentence(inspect.getdoc(spec.item) or ""),
                    )
                )
    header = ("table", "owner", "key", "indexes", "expiry", "item")
    return markdown_table(header, sorted(rows))


def _key(partition: str, sort: str | None) -> str:
    return code(partition) if sort is None else f"{code(partition)} + {code(sort)}"
