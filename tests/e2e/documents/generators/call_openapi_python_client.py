"""Calls every operation with the client of openapi-python-client, and prints the statuses."""

import importlib
import inspect
import json
import sys
from pathlib import Path

from generated import AuthenticatedClient

plan = json.loads(Path(sys.argv[1]).read_text())
client = AuthenticatedClient(
    base_url=plan["api"],
    token=plan["token"],
    headers={"X-Tenant-Id": plan["tenantId"]},
    raise_on_unexpected_status=True,
)
statuses = {}
for call in plan["calls"]:
    module = importlib.import_module(f"generated.api.{call['tag']}.{call['name']}")
    arguments = {name.lower(): value for name, value in call["path"].items()}
    if call.get("body") is not None:
        annotation = inspect.signature(module.sync_detailed).parameters["body"].annotation
        kinds = [
            each for each in getattr(annotation, "__args__", (annotation,)) if hasattr(each, "from_dict")
        ]
        arguments["body"] = kinds[0].from_dict(call["body"])
    response = module.sync_detailed(client=client, **arguments)
    statuses[call["name"]] = int(response.status_code)
    if response.parsed is None:
        raise SystemExit(f"{call['name']}: {response.status_code} has no type")
sys.stdout.write(json.dumps(statuses))
