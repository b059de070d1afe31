"""Items between Structs and DynamoDB's attributes, and conditions on them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

T = TypeVar("T", bound=msgspec.Struct)
_SCALARS = (str, int, bool)

serialize = TypeSerializer().serialize
deserialize = TypeDeserializer().deserialize


def expression(
    condition: ConditionBase, *, is_key: bool = False, first: int = 0
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """A condition's text with its names and values; `first` keeps two of one call apart."""
    builder = ConditionExpressionBuilder()
    builder._name_count = builder._value_count = first  # noqa: SLF001 - it has no other way
    built = builder.build_expression(condition, is_key_condition=is_key)
    values = {k: serialize(v) for k, v in built.attribute_value_placeholders.items()}
    return built.condition_expression, dict(built.attribute_name_placeholders), values


def dump(item: msgspec.Struct) -> dict[str, Any]:
    """An item as attributes; what is None is left out."""
    dumped = {}
    for name, value in msgspec.to_builtins(item).items():
        plain = dump_value(value)
        if plain is not None:
            dumped[name] = serialize(plain)
    return dumped


def dump_value(value: Any) -> Any:
    """A value in the form in which it is stored."""
    if value is None or isinstance(value, _SCALARS):
        return value
    return msgspec.json.encode(value).decode()


def load(kind: type[T], attributes: dict[str, Any]) -> T:
    """The item in some attributes."""
    values = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in attributes:
            continue
        value = deserialize(attributes[field.name])
        if isinstance(value, Decimal):
            value = int(value)
        elif isinstance(value, str) and not _is_text(field.type):
            value = msgspec.json.decode(value)
        values[field.name] = value
    return msgspec.convert(values, kind)


def _is_text(hint: Any) -> bool:
    # A str, an enum of str or a datetime was stored as its text; lists and mappings as JSON.
    info = msgspec.inspect.type_info(hint)
    options = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return any(
        isinstance(o, msgspec.inspect.StrType | msgspec.inspect.EnumType | msgspec.inspect.DateTimeType)
        for o in options
    )


def dump_position(position: dict[str, Any] | None) -> dict[str, Any] | None:
    """A position as DynamoDB takes it."""
    return {k: serialize(v) for k, v in position.items()} if position else None


def position_of(attributes: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The position right behind an item, for a list with these key attributes."""
    return {key: deserialize(attributes[key]) for key in keys}
