"""Calls every operation with the client of openapi-generator, and prints the statuses."""

import importlib
import json
import re
import sys
from pathlib import Path

import openapi_client

plan = json.loads(Path(sys.argv[1]).read_text())
configuration = openapi_client.Configuration(host=plan["api"], access_token=plan["token"])
statuses = {}
with openapi_client.ApiClient(
    configuration, header_name="X-Tenant-Id", header_value=plan["tenantId"]
) as client:
    for call in plan["calls"]:
        module = importlib.import_module(f"openapi_client.api.{call['tag']}_api")
        api = getattr(module, f"{call['tag'].capitalize()}Api")(client)
        arguments = dict(call["path"])
        if call.get("body") is not None:
            kind = getattr(openapi_client, call["bodyType"])
            argument = re.sub(r"(?<!^)(?=[A-Z])", "_", call["bodyType"]).lower()
            arguments[argument] = kind.from_dict(call["body"])
        try:
            response = getattr(api, f"{call['name']}_with_http_info")(**arguments)
            statuses[call["name"]] = response.status_code
        except openapi_client.ApiException as error:
            if error.data is None:
                raise
            statuses[call["name"]] = error.status
sys.stdout.write(json.dumps(statuses))
