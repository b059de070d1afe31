"""Declarations of DynamoDB tables, from which tables are created and accessed."""

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """A global secondary index that projects all attributes."""

    name: str
    partition: str
    sort: str | None = None


class TableSpec(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A table: its name without the prefix, item type, key, indexes and TTL attribute (Unix seconds).

    Scalar fields are stored as they are, others as JSON. A None is not stored, and an index on its attribute does
    not contain the item.
    """

    name: str
    item: type[T]
    partition: str
    sort: str | None = None
    indexes: tuple[Index, ...] = ()
    ttl: str | None = None

    def keys(self, index: str | None = None) -> tuple[str, ...]:
        """The attributes of the primary key; with an index, preceded by the index's attributes."""
        own = (self.partition,) if self.sort is None else (self.partition, self.sort)
        if index is None:
            return own
        spec = self.index(index)
        return tuple(dict.fromkeys((spec.partition, *((spec.sort,) if spec.sort else ()), *own)))

    def index(self, name: str) -> Index:
        """The index with this name."""
        return next(index for index in self.indexes if index.name == name)


def create_table_request(spec: TableSpec[Any], prefix: str) -> dict[str, Any]:
    """The arguments of DynamoDB's CreateTable."""
    used = [*spec.keys()]
    for index in spec.indexes:
        used += [index.partition, *([index.sort] if index.sort else [])]
    return {
        "TableName": prefix + spec.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "S"} for name in dict.fromkeys(used)
        ],
        "KeySchema": _key_schema(spec.partition, spec.sort),
        **(
            {
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": index.name,
                        "KeySchema": _key_schema(index.partition, index.sort),
                        "Projection": {"ProjectionType": "ALL"},
                    }
                    for index in spec.indexes
                ]
            }
            if spec.indexes
            else {}
        ),
    }


def _key_schema(partition: str, sort: str | None) -> list[dict[str, str]]:
    schema = [{"AttributeName": partition, "KeyType": "HASH"}]
    if sort:
        schema.append({"AttributeName": sort, "KeyType": "RANGE"})
    return schema
