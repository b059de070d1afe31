"""The OpenAPI and AsyncAPI documents: complete, valid, and with valid examples."""

import gzip
import inspect
import json
import re
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from artcafe_common.bus.errors import CommandError
from artcafe_gateway.api import CONTROLLERS, create_api
from artcafe_gateway.openapi.asyncapi import build_asyncapi
from artcafe_gateway.openapi.rest import build_openapi
from artcafe_gateway.routes.problems import ProblemsController
from artcafe_gateway.sessions.agent import AgentSession
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.sessions.dashboard import DashboardSession
from artcafe_gateway.wire import agent_frames, frames, socket
from docs.generate.declarations import every_error

SCHEMA = Path(__file__).parents[2] / "support/asyncapi/3.0.0.json.gz"
REST = msgspec.json.decode(msgspec.json.encode(build_openapi(create_api(None, None))))
SOCKETS = build_asyncapi()
SESSION_TYPES = {"client": ClientSession, "agent": AgentSession, "dashboard": DashboardSession}
OPERATIONS = [
    pytest.param(operation, id=f"{method.upper()} {path}")
    for path, item in REST["paths"].items()
    for method, operation in item.items()
]


def resolved(schema, components):
    """A validator for one schema of a document."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": {"schemas": components}})


def test_rest_document_is_valid_openapi_3_1():
    OpenAPIV31SpecValidator(REST).validate()
    assert REST["openapi"].startswith("3.1")
    names = [p.values[0]["operationId"] for p in OPERATIONS]
    assert len(names) == len(set(names))
    assert {tag for p in OPERATIONS for tag in p.values[0]["tags"]} == {tag["name"] for tag in REST["tags"]}
    # Two types of the same name would appear with their modules.
    assert [name for name in REST["components"]["schemas"] if "." in name] == []


def test_every_handler_is_in_the_openapi_document():
    handlers = {
        f"{controller.tags[0]}_{name}"
        for controller in (*CONTROLLERS, ProblemsController)
        for name, member in inspect.getmembers(controller)
        if hasattr(member, "http_methods")
    }
    assert {p.values[0]["operationId"] for p in OPERATIONS} == handlers


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_documents_its_bodies_and_errors(operation):
    assert operation["summary"]
    assert {"400", "500"} <= operation["responses"].keys()
    good = [status for status in operation["responses"] if status < "300"]
    assert len(good) == 1
    components = REST["components"]["schemas"]
    contents = [answer.get("content", {}) for answer in operation["responses"].values()]
    if "requestBody" in operation:
        contents.append(operation["requestBody"]["content"])
    for content in contents:
        for kind, media in content.items():
            if kind == "text/plain":
                continue
            assert media["examples"]
            for example in media["examples"].values():
                resolved(media["schema"], components).validate(example["value"])
    for parameter in operation["parameters"]:
        if "schema" in parameter and "example" in parameter:
            resolved(parameter["schema"], components).validate(parameter["example"])
    if operation["security"]:
        assert {"401", "429", "502", "503", "504"} <= operation["responses"].keys()
    if any(p.get("in") == "path" for p in operation["parameters"]):
        assert "404" in operation["responses"]


def test_request_bodies_allow_no_unknown_fields():
    components = REST["components"]["schemas"]
    for parameter in OPERATIONS:
        body = parameter.values[0].get("requestBody")
        if body is not None and parameter.id != "POST /api/v1/channels/{channel_id}/messages":
            (content,) = body["content"].values()
            name = content["schema"]["$ref"].rpartition("/")[2]
            assert components[name]["additionalProperties"] is False, name


def find_objects(value, **fields):
    """The objects with these fields, at any depth."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        if fields.items() <= {key: each for key, each in value.items() if isinstance(each, str)}.items():
            yield value
        for each in value.values():
            yield from find_objects(each, **fields)


def test_generators_of_clients_understand_the_openapi_document():
    """`make test-generators` runs them; this is what they fell over."""
    assert all("security" in p.values[0] for p in OPERATIONS)
    for parameter in REST["components"]["parameters"].values():
        # The page sends examples of headers.
        assert "example" not in parameter
    text = json.dumps(REST["components"]["schemas"])
    assert "(?" not in text
    for name, schema in REST["components"]["schemas"].items():
        assert schema.get("title", name) == name
        assert re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() not in schema.get("properties", ())
    assert "Client" not in REST["components"]["schemas"]
    assert all("items" in each for each in find_objects(REST["components"]["schemas"], type="array"))
    export = REST["paths"]["/api/v1/accounts/{account_id}/export"]["get"]["responses"]["200"]["content"]
    assert export["application/jsonl"]["schema"] == {"type": "string", "format": "binary"}
    errors = [
        content["schema"]
        for p in OPERATIONS
        for answer in p.values[0]["responses"].values()
        for kind, content in answer.get("content", {}).items()
        if kind == "application/problem+json"
    ]
    assert len(errors) > 400
    assert {json.dumps(schema) for schema in errors} == {'{"$ref": "#/components/schemas/Problem"}'}


@pytest.mark.parametrize("name", ["profile_me", "profile_update_me"])
def test_header_that_the_profile_obeys_is_documented(name):
    (operation,) = (p.values[0] for p in OPERATIONS if p.values[0]["operationId"] == name)
    assert {"$ref": "#/components/parameters/tenant"} in operation["parameters"]


def test_websocket_document_is_valid_asyncapi_3():
    jsonschema_rs.Draft7Validator(json.loads(gzip.decompress(SCHEMA.read_bytes()))).validate(SOCKETS)


def test_every_frame_and_close_code_is_in_the_asyncapi_document():
    documented = {message["name"] for message in SOCKETS["components"]["messages"].values()}
    kinds = {
        kind
        for module in (frames, agent_frames)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag and kind.__subclasses__() == []
    }
    assert {kind.__struct_config__.tag for kind in kinds} <= documented
    for endpoint, session_type in SESSION_TYPES.items():
        channel = SOCKETS["channels"][endpoint]
        names = {SOCKETS["components"]["messages"][key]["name"] for key in channel["messages"]}
        assert {kind.__struct_config__.tag for kind in session_type.received_frames} <= names
        codes = {value for name, value in vars(socket).items() if name.startswith("CLOSE_")}
        codes |= {socket.CLOSE_PROTOCOL_ERROR, socket.CLOSE_TOO_LARGE}
        assert {int(code) for code in channel["x-close-codes"]} == codes


def test_frame_examples_are_valid():
    components = SOCKETS["components"]["schemas"]
    for message in SOCKETS["components"]["messages"].values():
        for example in message.get("examples", []):
            resolved(message["payload"], components).validate(example["payload"])
    for session_type in SESSION_TYPES.values():
        for kind in session_type.received_frames:
            key = next(
                k
                for k, m in SOCKETS["components"]["messages"].items()
                if m["payload"].get("$ref", "").endswith(f"/{kind.__name__}")
            )
            (example,) = SOCKETS["components"]["messages"][key]["examples"]
            assert type(session_type.decoder.decode(json.dumps(example["payload"]))) is kind


def test_every_error_code_is_in_an_api_document():
    rest = {
        code
        for parameter in OPERATIONS
        for answer in parameter.values[0]["responses"].values()
        for content in answer.get("content", {}).values()
        for code in content.get("examples", {})
    }
    frame = set(SOCKETS["components"]["schemas"]["Error"]["properties"]["code"]["enum"])
    known = {CommandError.code} | {error.code for error in every_error()}
    assert known - (rest | frame) == set()
