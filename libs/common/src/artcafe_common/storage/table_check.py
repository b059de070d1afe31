"""Whether the tables are as they were declared, and what mends one that is not."""

import json
import shlex
from typing import Any

import msgspec

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.tables import TableSpec, create_table_request

READY = ("ACTIVE", "UPDATING")


class TableProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a table, and the command that mends it."""

    detail: str
    remedy: str


async def find_problems(database: Database, spec: TableSpec[Any]) -> list[TableProblem]:
    """What is wrong with one table; StoreUnavailable when DynamoDB does not tell."""
    name = database.prefix + spec.name
    try:
        found = (await database.call("describe_table", TableName=name))["Table"]
    except StoreUnavailable as error:
        if _code(error) == "ResourceNotFoundException":
            return [TableProblem(detail=f"{name} does not exist", remedy="artcafe tables create")]
        raise
    wrong = compare(found, spec, database.prefix)
    if spec.ttl:
        answer = await database.call("describe_time_to_live", TableName=name)
        wrong += _expiry(name, spec.ttl, answer.get("TimeToLiveDescription", {}))
    return wrong


def compare(found: dict[str, Any], spec: TableSpec[Any], prefix: str) -> list[TableProblem]:
    """What DescribeTable tells against the declaration; expiry is told elsewhere."""
    wanted = create_table_request(spec, prefix)
    name = wanted["TableName"]
    if found.get("TableStatus") not in READY:
        return [
            TableProblem(
                detail=f"{name} is {found.get('TableStatus')}", remedy=_aws("wait table-exists", name)
            )
        ]
    if _keys(found) != _keys(wanted):
        return [
            TableProblem(
                detail=f"{name} has other keys than declared",
                remedy=f"move its items elsewhere, then: {_aws('delete-table', name)} && artcafe tables create",
            )
        ]
    held = {each["IndexName"]: each for each in found.get("GlobalSecondaryIndexes", [])}
    wrong = []
    for index in wanted.get("GlobalSecondaryIndexes", []):
        has = held.get(index["IndexName"])
        used = {key["AttributeName"] for key in index["KeySchema"]}
        types = [each for each in wanted["AttributeDefinitions"] if each["AttributeName"] in used]
        create = _aws("update-table", name, attribute_definitions=types, changes=[{"Create": index}])
        if has is None:
            detail, remedy = "does not exist", create
        elif _keys(has) != _keys(index) or has["Projection"]["ProjectionType"] != "ALL":
            drop = [{"Delete": {"IndexName": index["IndexName"]}}]
            detail = "is another than declared"
            remedy = f"{_aws('update-table', name, changes=drop)}; once it is gone: {create}"
        elif has.get("IndexStatus", "ACTIVE") not in READY:
            detail, remedy = (
                f"is {has['IndexStatus']}",
                f"wait until it is there: {_aws('describe-table', name)}",
            )
        else:
            continue
        wrong.append(TableProblem(detail=f"{name}: the index {index['IndexName']} {detail}", remedy=remedy))
    return wrong


def _expiry(name: str, attribute: str, found: dict[str, Any]) -> list[TableProblem]:
    on = found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    if on and found.get("AttributeName") == attribute:
        return []
    specification = shlex.quote(f"Enabled=true,AttributeName={attribute}")
    return [
        TableProblem(
            detail=f"{name}: items do not expire by {attribute}",
            remedy=f"{_aws('update-time-to-live', name)} --time-to-live-specification {specification}",
        )
    ]


def _keys(described: dict[str, Any]) -> set[tuple[str, str]]:
    return {(key["AttributeName"], key["KeyType"]) for key in described["KeySchema"]}


def _aws(verb: str, table: str, *, attribute_definitions: Any = None, changes: Any = None) -> str:
    parts = [f"aws dynamodb {verb} --table-name {table}"]
    if attribute_definitions:
        parts.append(f"--attribute-definitions {shlex.quote(json.dumps(attribute_definitions))}")
    if changes:
        parts.append(f"--global-secondary-index-updates {shlex.quote(json.dumps(changes))}")
    return " ".join(parts)


def _code(error: StoreUnavailable) -> str:
    response: dict[str, Any] = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
