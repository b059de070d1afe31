"""Which responses are stored for a repeated `Idempotency-Key`."""

import re

import msgspec
import pytest

from artcafe_gateway.api import create_api
from artcafe_gateway.http.idempotency import SECRET_FIELDS, has_secret
from artcafe_gateway.http.idempotency_store import StoredResponse
from artcafe_gateway.openapi.rest import build_openapi

SECRET_NAME = re.compile(r"seed|private|secret|password|token")


def secret_fields(schema, schemas, path=()):
    """The paths of all fields of a schema whose name is that of a secret."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for option in schema.get("anyOf", ()):
        yield from secret_fields(option, schemas, path)
    if "items" in schema:
        yield from secret_fields(schema["items"], schemas, path)
    for name, field in schema.get("properties", {}).items():
        if SECRET_NAME.search(name):
            yield (*path, name)
        yield from secret_fields(field, schemas, (*path, name))


def test_every_response_with_a_secret_is_recognized():
    document = msgspec.json.decode(msgspec.json.encode(build_openapi(create_api(None, None))))
    schemas = document["components"]["schemas"]
    found = set()
    for item in document["paths"].values():
        operation = item.get("post", {})
        if "Idempotency-Key" not in str(operation) and "IdempotencyKey" not in str(operation):
            continue
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                for media in response.get("content", {}).values():
                    found |= set(secret_fields(media["schema"], schemas))
    # Each is at the top of its response, where `has_secret` looks.
    assert found == {(name,) for name in SECRET_FIELDS}


@pytest.mark.parametrize(
    ("body", "secret"),
    [
        (b'{"nkey_seed":"SU1"}', True),
        (b'{"private_key":"x","agent":{}}', True),
        (b'{"private_key":null,"agent":{}}', False),
        (b'{"client":{"metadata":{"nkey_seed":1}}}', False),
        (b"{}", False),
        (b"[1]", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_response_with_a_secret(body, secret):
    assert has_secret(body) is secret


def test_record_of_an_earlier_release_decodes():
    record = msgspec.msgpack.encode({"status": 201, "headers": [(b"a", b"b")], "body": b"{}"})
    response = msgspec.msgpack.decode(record, type=StoredResponse)
    assert response.executed_as is None
