"""Rewrites of the OpenAPI document for generators of clients; they do not change what it means."""

import re
from typing import Any

from artcafe_common.contracts.tenancy.fields import PYTHON_END

_SCHEMAS = "#/components/schemas/"
# openapi-python-client has a class of its own with this name.
_RENAMED = {"Client": "ClientRecord"}


def adapt(document: dict[str, Any]) -> None:
    """Rewrites a document in place.

    Patterns lose what only Python's regular expressions need, objects and arrays of any values say so, and schemas have neither the
    names of generators' own classes nor those of their properties (`Clients` of `clients` is `ClientsPage`).
    """
    schemas = document["components"]["schemas"]
    # openapi-python-client gives the variables of a schema and of its property the same name.
    pages = {name: f"{name}Page" for name in schemas if _snake(name) in schemas[name].get("properties", ())}
    renamed = _RENAMED | pages
    for name, new_name in renamed.items():
        schemas[new_name] = {**schemas.pop(name), "title": new_name}
    references = {_SCHEMAS + name: _SCHEMAS + new_name for name, new_name in renamed.items()}
    _adapt(document["paths"], references)
    _adapt(schemas, references)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _adapt(value: Any, references: dict[str, str]) -> None:
    if isinstance(value, list):
        for each in value:
            _adapt(each, references)
    if not isinstance(value, dict):
        return
    pattern, reference = value.get("pattern"), value.get("$ref")
    if isinstance(pattern, str):
        value["pattern"] = pattern.removesuffix(PYTHON_END)
    if isinstance(reference, str):
        value["$ref"] = references.get(reference, reference)
    if value.get("type") == "object" and "properties" not in value:
        value.setdefault("additionalProperties", {})
    if value.get("type") == "array":
        value.setdefault("items", {})
    for key, each in value.items():
        # Examples are data, which may look like a schema.
        if key not in ("example", "examples"):
            _adapt(each, references)
