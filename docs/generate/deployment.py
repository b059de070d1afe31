"""Generates the parts of `deploy/` that follow from the code: the environment file and the tables of the template."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artcafe_common.storage.create import installed_tables
from artcafe_common.storage.tables import TableSpec, create_table_request
from docs.generate.declarations import PACKAGES, every_setting

ROOT = Path(__file__).parents[2]
ENVIRONMENT_FILE = ROOT / "deploy/ec2/artcafe.env.example"
TEMPLATE = ROOT / "deploy/ec2/cloudformation.yaml"
# Set by the unit and by the deployment.
_SET_ELSEWHERE = frozenset({"ARTCAFE_KEYS_DIR", "ARTCAFE_REVISION"})
_BLOCK = re.compile(r"(  # generated: tables\n).*?(  # end\n)", re.DOTALL)
_WIDTH = 118
_HEADER = """\
# The settings of all services of this host; those of one service can also be in /etc/artcafe/NAME.env.
# `make docs` generates this file. Commented values are defaults. Passwords do not belong here: set NAME_FILE to
# a file that the services can read, for instance a systemd credential, instead of NAME."""


def environment_file(_text: str) -> str:
    """Every setting with its default, commented out; required ones are to be filled in."""
    variables: dict[str, tuple[str, str, dict[str, list[str]]]] = {}
    for variable, services in every_setting():
        if variable.env in _SET_ELSEWHERE:
            continue
        _, _, docs = variables.setdefault(variable.env, (variable.default, variable.unit, {}))
        docs.setdefault(variable.doc, []).extend(services)
    required = {name for name, (default, _, _) in variables.items() if default == "(required)"}
    blocks = [_HEADER]
    for name in sorted(variables, key=lambda each: (each not in required, each)):
        default, unit, docs = variables[name]
        lines = []
        for doc, services in docs.items():
            users = (
                "all services" if len({*services} - {"backup"}) == len(PACKAGES) - 1 else ", ".join(services)
            )
            suffix = f" In {unit}." if unit and unit != "per second" else " Per second." if unit else ""
            lines += textwrap.wrap(f"{doc}{suffix} ({users})", _WIDTH - 2)
        comment = "\n".join(f"# {line}" for line in lines)
        value = "" if default.startswith("(") else default
        blocks.append(f"{comment}\n{'' if name in required else '#'}{name}={value}")
    return "\n\n".join(blocks) + "\n"


def template(text: str) -> str:
    """The template with the tables of the installed services."""
    tables = "".join(_table_resource(spec) for spec in sorted(installed_tables(), key=lambda spec: spec.name))
    return _BLOCK.sub(lambda match: match[1] + tables + match[2], text)


def resource_name(spec: TableSpec[Any]) -> str:
    """The logical id of a table's resource."""
    return "".join(part.capitalize() for part in spec.name.split("-")) + "Table"


def _table_resource(spec: TableSpec[Any]) -> str:
    request = create_table_request(spec, "")
    lines = [
        f"  {resource_name(spec)}:",
        "    Type: AWS::DynamoDB::Table",
        "    DeletionPolicy: Retain",
        "    UpdateReplacePolicy: Retain",
        "    Properties:",
        f'      TableName: !Sub "${{TablePrefix}}{spec.name}"',
        "      BillingMode: PAY_PER_REQUEST",
        "      SSESpecification: {SSEEnabled: true}",
        "      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}",
        "      AttributeDefinitions:",
    ]
    lines += [
        f"        - {{AttributeName: {each['AttributeName']}, AttributeType: {each['AttributeType']}}}"
        for each in request["AttributeDefinitions"]
    ]
    lines += ["      KeySchema:", *_keys(request["KeySchema"], 8)]
    if spec.indexes:
        lines.append("      GlobalSecondaryIndexes:")
    for index in request.get("GlobalSecondaryIndexes", []):
        lines += [
            f"        - IndexName: {index['IndexName']}",
            "          Projection: {ProjectionType: ALL}",
            "          KeySchema:",
            *_keys(index["KeySchema"], 12),
        ]
    if spec.ttl:
        lines.append(f"      TimeToLiveSpecification: {{AttributeName: {spec.ttl}, Enabled: true}}")
    return "\n".join(lines) + "\n"


def _keys(schema: list[dict[str, str]], indent: int) -> list[str]:
    return [
        f"{' ' * indent}- {{AttributeName: {each['AttributeName']}, KeyType: {each['KeyType']}}}"
        for each in schema
    ]


# Each generated file of the deployment, and what makes its text from its present one.
FILES: dict[Path, Callable[[str], str]] = {ENVIRONMENT_FILE: environment_file, TEMPLATE: template}
