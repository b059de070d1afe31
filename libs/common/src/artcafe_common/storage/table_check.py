"""Compares DynamoDB tables with their declarations, and names the command that corrects each difference."""

import json
import shlex
from typing import Any

import msgspec

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.dynamo_errors import error_code
from artcafe_common.storage.tables import TableSpec, create_table_request

READY_STATES = ("ACTIVE", "UPDATING")


class TableProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A difference between a table and its declaration, and the command that corrects it."""

    detail: str
    remedy: str


async def find_problems(database: Database, spec: TableSpec[Any]) -> list[TableProblem]:
    """The problems of one table. Raises StoreUnavailable if DynamoDB does not respond."""
    name = database.prefix + spec.name
    try:
        table = (await database.call("describe_table", TableName=name))["Table"]
    except StoreUnavailable as error:
        if error_code(error) == "ResourceNotFoundException":
            return [TableProblem(detail=f"{name} does not exist", remedy="artcafe tables create")]
        raise
    problems = compare(table, spec, database.prefix)
    if spec.ttl:
        response = await database.call("describe_time_to_live", TableName=name)
        problems += _compare_ttl(name, spec.ttl, response.get("TimeToLiveDescription", {}))
    return problems


def compare(found: dict[str, Any], spec: TableSpec[Any], prefix: str) -> list[TableProblem]:
    """The differences between a response of DescribeTable and the declaration, apart from the TTL."""
    expected = create_table_request(spec, prefix)
    name = expected["TableName"]
    if found.get("TableStatus") not in READY_STATES:
        return [
            TableProblem(
                detail=f"{name} is {found.get('TableStatus')}", remedy=_aws_command("wait table-exists", name)
            )
        ]
    if _keys(found) != _keys(expected):
        return [
            TableProblem(
                detail=f"{name} has a different key than declared",
                remedy=f"copy its items, then: {_aws_command('delete-table', name)} && artcafe tables create",
            )
        ]
    existing = {each["IndexName"]: each for each in found.get("GlobalSecondaryIndexes", [])}
    problems = []
    for index in expected.get("GlobalSecondaryIndexes", []):
        current = existing.get(index["IndexName"])
        used = {key["AttributeName"] for key in index["KeySchema"]}
        types = [each for each in expected["AttributeDefinitions"] if each["AttributeName"] in used]
        create = _aws_command("update-table", name, attribute_definitions=types, changes=[{"Create": index}])
        if current is None:
            detail, remedy = "does not exist", create
        elif _keys(current) != _keys(index) or current["Projection"]["ProjectionType"] != "ALL":
            drop = [{"Delete": {"IndexName": index["IndexName"]}}]
            detail = "differs from its declaration"
            remedy = f"{_aws_command('update-table', name, changes=drop)}; after its deletion: {create}"
        elif current.get("IndexStatus", "ACTIVE") not in READY_STATES:
            detail, remedy = (
                f"is {current['IndexStatus']}",
                f"wait until it is active: {_aws_command('describe-table', name)}",
            )
        else:
            continue
        problems.append(
            TableProblem(detail=f"{name}: the index {index['IndexName']} {detail}", remedy=remedy)
        )
    return problems


def _compare_ttl(name: str, attribute: str, found: dict[str, Any]) -> list[TableProblem]:
    enabled = found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    if enabled and found.get("AttributeName") == attribute:
        return []
    specification = shlex.quote(f"Enabled=true,AttributeName={attribute}")
    return [
        TableProblem(
            detail=f"{name}: TTL on {attribute} is not enabled",
            remedy=f"{_aws_command('update-time-to-live', name)} --time-to-live-specification {specification}",
        )
    ]


def _keys(described: dict[str, Any]) -> set[tuple[str, str]]:
    return {(key["AttributeName"], key["KeyType"]) for key in described["KeySchema"]}


def _aws_command(verb: str, table: str, *, attribute_definitions: Any = None, changes: Any = None) -> str:
    parts = [f"aws dynamodb {verb} --table-name {table}"]
    if attribute_definitions:
        parts.append(f"--attribute-definitions {shlex.quote(json.dumps(attribute_definitions))}")
    if changes:
        parts.append(f"--global-secondary-index-updates {shlex.quote(json.dumps(changes))}")
    return " ".join(parts)
