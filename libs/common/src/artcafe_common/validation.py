"""Words for what msgspec says about text that a regular expression does not match."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import inspect

_PATTERN = "Expected `str` matching regex "
_UNDESCRIBED = "Expected text of another form"


def describe_error(message: str, kind: Any) -> str:
    """The message of a ValidationError of `kind`, with the description of a pattern in place of the pattern."""
    if _PATTERN not in message:
        return message
    for pattern, description in _described_patterns(kind):
        message = message.replace(f"{_PATTERN}{pattern!r}", f"Expected {description}")
    before, found, rest = message.partition(_PATTERN)
    if not found:
        return message
    _, at, path = rest.rpartition(" - at `$")
    return f"{before}{_UNDESCRIBED}{at}{path}"


@cache
def _described_patterns(kind: Any) -> tuple[tuple[str, str], ...]:
    return tuple(dict(_find_patterns(inspect.type_info(kind), set())).items())


def _find_patterns(info: Any, seen: set[type]) -> Iterator[tuple[str, str]]:
    if isinstance(info, inspect.Metadata):
        pattern = getattr(info.type, "pattern", None)
        description = (info.extra_json_schema or {}).get("description")
        if pattern is not None and description is not None:
            yield pattern, description[:1].lower() + description[1:]
        yield from _find_patterns(info.type, seen)
    elif isinstance(info, inspect.UnionType):
        for each in info.types:
            yield from _find_patterns(each, seen)
    elif isinstance(info, inspect.StructType) and info.cls not in seen:
        seen.add(info.cls)
        for field in info.fields:
            yield from _find_patterns(field.type, seen)
    elif isinstance(info, inspect.CollectionType):
        yield from _find_patterns(info.item_type, seen)
    elif isinstance(info, inspect.DictType):
        yield from _find_patterns(info.key_type, seen)
        yield from _find_patterns(info.value_type, seen)
