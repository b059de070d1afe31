"""No public key is registered for which someone without its private key can sign."""

import base64
import json
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from websockets.asyncio.client import connect

from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.tables import AGENTS
from support.activity import open_database
from support.agents import LegacyAgent, list_ids
from support.agents import to_openssh as openssh_of
from support.waiting import eventually_equals
from support.weak_keys import CONSTANT_SIGNATURE, small_order_encodings, to_openssh, to_pem


def raw_key():
    return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()


def unacceptable_keys():
    first, second = to_openssh(raw_key()), to_openssh(raw_key())
    yield from (encode(raw) for raw in small_order_encodings() for encode in (to_openssh, to_pem))
    yield to_openssh(raw_key(), b"sk-ssh-ed25519@openssh.com", b"ssh:")
    yield f"{first}\n{second}"
    yield f"{first} {second}"
    yield to_pem(raw_key()) + to_pem(raw_key())


async def test_weak_and_ambiguous_keys_are_rejected(tenant):
    agent = await LegacyAgent.register(tenant)
    for number, text in enumerate(unacceptable_keys()):
        body = {"name": f"weak {number}", "public_key": text}
        for method, path in (("POST", "/agents"), ("PUT", f"/agents/{agent.id}")):
            problem = await tenant.call(method, path, 400, json=body)
            assert problem["code"] == "invalid_request"
            assert [error["field"] for error in problem["errors"]] == ["public_key"]
    await eventually_equals(lambda: list_ids(tenant), [agent.id])
    await agent.connect_websocket()


async def test_key_with_a_comment_in_any_language_is_accepted(tenant):
    key = ed25519.Ed25519PrivateKey.generate()
    body = {"name": "one", "public_key": f"{openssh_of(key)} 私の鍵 🔑"}
    created = await tenant.call("POST", "/agents", 201, json=body)
    await LegacyAgent(tenant, created, key).connect_websocket()


@pytest.mark.parametrize("raw", [raw for raw in small_order_encodings() if raw[1:31] == bytes(30)])
async def test_weak_key_of_an_earlier_release_logs_no_one_in(stack, tenant, raw):
    agent = await LegacyAgent.register(tenant)
    async with open_database(stack) as database:
        await TenantTable(database, AGENTS).update(tenant.id, agent.id, set_={"public_key": to_openssh(raw)})
    for _ in range(8):
        query = {
            "challenge": await agent.request_challenge(),
            "signature": base64.b64encode(CONSTANT_SIGNATURE).decode(),
            "tenant_id": tenant.id,
        }
        async with connect(f"{agent.root}/ws/agent/{agent.id}?{urlencode(query)}") as ws:
            error = json.loads(await ws.recv())
            assert (error["type"], error["code"]) == ("error", "authentication_failed")
