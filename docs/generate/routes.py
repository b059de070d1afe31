"""The reference of REST routes, from the OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from docs.generate.declarations import openapi_document
from docs.generate.markdown import anchor, code, json_block, sentence
from docs.generate.markdown import table as markdown_table

_PREFIX = "/api/v1"
_EXAMPLES_PAGE = "routes.md"


def index() -> str:
    """One table for each group of routes, linked to the page of examples."""
    document = openapi_document()
    parts = []
    for tag in document["tags"]:
        rows = [
            (f"[{code(_heading(method, path))}]({_EXAMPLES_PAGE}#{anchor(_heading(method, path))})", summary)
            for method, path, summary in (
                (method, path, sentence(operation["summary"]))
                for method, path, operation in _operations(document)
                if tag["name"] in operation["tags"]
            )
        ]
        parts += [f"### {tag['name'].capitalize()}", markdown_table(("route", "description"), rows)]
    return "\n\n".join(parts)


def examples() -> str:
    """One section for each route: parameters, an example of the request and the response, errors."""
    document = openapi_document()
    secured = [_codes(operation) for _, _, operation in _operations(document) if operation["security"]]
    common = set.intersection(*secured)
    parts = [
        "Each route that needs a token can answer with these errors: "
        + ", ".join(_error_links(common))
        + ".",
        "Each other route can answer with `bad_request` and `internal_error`. Every section names further errors.",
    ]
    for tag in document["tags"]:
        parts += [f"## {tag['name'].capitalize()}", sentence(tag["description"])]
        for method, path, operation in _operations(document):
            if tag["name"] in operation["tags"]:
                parts += _section(method, path, operation, common)
    return "\n\n".join(filter(None, parts))


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _heading(method: str, path: str) -> str:
    return f"{method} {path.removeprefix(_PREFIX)}"


def _codes(operation: dict[str, Any]) -> set[str]:
    return {
        name
        for status, answer in operation["responses"].items()
        for kind, content in answer.get("content", {}).items()
        if kind == "application/problem+json"
        for name in content["examples"]
    }


def _error_links(codes: set[str]) -> list[str]:
    return [f"[{code(each)}](errors.md#{anchor(each)})" for each in sorted(codes)]


def _section(method: str, path: str, operation: dict[str, Any], common: set[str]) -> list[str]:
    parts = [f"### `{_heading(method, path)}`", _description(operation)]
    if not operation["security"]:
        parts[-1] += " Needs no token."
    if operation.get("deprecated"):
        parts[-1] += " Deprecated."
    parts.append(_query(operation))
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        parts += ["Request:", _example(content)]
    for status, answer in operation["responses"].items():
        if status < "300":
            content = next(iter(answer["content"].values()))
            parts += [f"Response {status}:", _example(content)]
    further = _codes(operation) - common
    if not operation["security"]:
        further -= {"bad_request", "internal_error"}
    if further:
        parts.append("Errors: " + ", ".join(_error_links(further)) + ".")
    return parts


def _description(operation: dict[str, Any]) -> str:
    summary, description = sentence(operation["summary"]), sentence(operation["description"])
    starts_alike = description.lower().startswith(operation["summary"].lower())
    return description if starts_alike else f"{summary} {description}".strip()


def _query(operation: dict[str, Any]) -> str:
    rows = []
    for parameter in operation["parameters"]:
        if parameter.get("in") == "query":
            name = parameter["name"]
            needed = "required" if parameter["required"] else "optional"
            default = parameter["schema"].get("default")
            rows.append(
                (code(name), needed, "" if default is None else code(default), _example_of(parameter))
            )
    if not rows:
        return ""
    return markdown_table(("query parameter", "", "default", "example"), rows)


def _example_of(parameter: dict[str, Any]) -> str:
    return code(parameter["example"]) if "example" in parameter else ""


def _example(content: dict[str, Any]) -> str:
    if "examples" not in content:
        return "Plain text."
    (example,) = content["examples"].values()
    value = example["value"]
    return f"```text\n{value}```" if isinstance(value, str) and value.endswith("\n") else json_block(value)
