"""Converts items between Structs and DynamoDB attributes, and renders conditions."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec
from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

T = TypeVar("T", bound=msgspec.Struct)
_SCALARS = (str, int, bool)

serialize = TypeSerializer().serialize
deserialize = TypeDeserializer().deserialize


def render(
    condition: ConditionBase, *, is_key: bool = False, first_placeholder: int = 0
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """A condition's expression, names and values.

    Two conditions of one call need different values of `first_placeholder`.
    """
    builder = ConditionExpressionBuilder()
    builder._name_count = builder._value_count = first_placeholder  # noqa: SLF001 - there is no public way
    built = builder.build_expression(condition, is_key_condition=is_key)
    values = {k: serialize(v) for k, v in built.attribute_value_placeholders.items()}
    return built.condition_expression, dict(built.attribute_name_placeholders), values


def dump(item: msgspec.Struct) -> dict[str, Any]:
    """An item's attributes; a None has no attribute."""
    dumped = {}
    for name, value in msgspec.to_builtins(item).items():
        plain = dump_value(value)
        if plain is not None:
            dumped[name] = serialize(plain)
    return dumped


def dump_value(value: Any) -> Any:
    """The stored form of a value: scalars as they are, anything else as JSON."""
    if value is None or isinstance(value, _SCALARS):
        return value
    return msgspec.json.encode(value).decode()


def load(kind: type[T], attributes: dict[str, Any]) -> T:
    """The item that attributes represent."""
    values = {}
    for name, is_text in _fields_of(kind):
        if name not in attributes:
            continue
        value = deserialize(attributes[name])
        if isinstance(value, Decimal):
            value = int(value)
        elif isinstance(value, str) and not is_text:
            value = msgspec.json.decode(value)
        values[name] = value
    return msgspec.convert(values, kind)


@cache
def _fields_of(kind: type[msgspec.Struct]) -> list[tuple[str, bool]]:
    """The names of the fields, and whether they are stored as text. To find out takes longer than to load an item."""
    return [(field.name, _is_text(field.type)) for field in msgspec.structs.fields(kind)]


def _is_text(hint: Any) -> bool:
    # Strings, string enums and datetimes are stored as text, lists and mappings as JSON.
    info = msgspec.inspect.type_info(hint)
    options = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return any(
        isinstance(o, msgspec.inspect.StrType | msgspec.inspect.EnumType | msgspec.inspect.DateTimeType)
        for o in options
    )


def dump_position(position: dict[str, Any] | None) -> dict[str, Any] | None:
    """A position as DynamoDB's ExclusiveStartKey."""
    return {k: serialize(v) for k, v in position.items()} if position else None


def to_position(attributes: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The position after an item, in a list with these key attributes."""
    return {key: deserialize(attributes[key]) for key in keys}


def count_fitting(items: Sequence[dict[str, Any]], max_bytes: int) -> int:
    """How many of the first items are together at most this large, in about DynamoDB's count; at least one."""
    size = 0
    for number, attributes in enumerate(items):
        size += sum(len(name) + _size(value) for name, value in attributes.items())
        if size > max_bytes and number:
            return number
    return max(1, len(items))


def _size(value: dict[str, Any]) -> int:
    # Items have texts, numbers and truth values only.
    text = next(iter(value.values()))
    return len(text.encode()) if isinstance(text, str) else 1
