"""The REST routes of legacy agents."""

import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.actors import User
from support.agents import LegacyAgent, list_ids, to_openssh, to_pem
from support.tokens import decode_claims
from support.waiting import eventually, eventually_equals


async def test_agent_is_created_read_updated_and_deleted(tenant, rsa_key):
    created = await tenant.call(
        "POST",
        "/agents",
        201,
        json={"name": "old one", "public_key": to_pem(rsa_key), "description": "d", "metadata": {"a": [1]}},
    )
    agent = created["agent"]
    assert created["private_key"] is None
    assert created["connection"]["websocket_url"].endswith(f"/ws/agent/{agent['agent_id']}")
    assert agent["tenant_id"] == tenant.id
    assert (agent["name"], agent["description"], agent["metadata"]) == ("old one", "d", {"a": [1]})
    assert (agent["status"], agent["last_seen"], agent["key_type"]) == ("offline", None, "rsa")
    # Every key format is converted to the OpenSSH format.
    assert agent["public_key"] == to_openssh(rsa_key)
    assert agent["fingerprint"].startswith("SHA256:")
    path = f"/agents/{agent['agent_id']}"
    assert await tenant.call("GET", path, 200) == agent
    changed = await tenant.call("PUT", path, 200, json={"name": "new name", "metadata": {}})
    assert (changed["name"], changed["metadata"], changed["description"]) == ("new name", {}, "d")
    assert await tenant.call("DELETE", path, 200)
    for method in ("GET", "DELETE"):
        assert (await tenant.call(method, path, 404))["code"] == "agent_not_found"
    assert (await tenant.call("PUT", path, 404, json={"name": "x"}))["code"] == "agent_not_found"
    # The name can be used again.
    await LegacyAgent.register(tenant, name="new name")


@pytest.mark.parametrize(("key_type", "prefix"), [(None, "ssh-ed25519"), ("rsa", "ssh-rsa")])
async def test_generated_key_is_returned_once_and_works(tenant, key_type, prefix):
    body = {"name": "generated"} | ({"key_type": key_type} if key_type else {})
    created = await tenant.call("POST", "/agents", 201, json=body)
    assert created["warning"]
    assert created["agent"]["public_key"].startswith(prefix)
    agent = LegacyAgent(tenant, created, load_pem_private_key(created["private_key"].encode(), None))
    await agent.connect_websocket()
    assert "PRIVATE" not in (await tenant.http.get(f"/agents/{agent.id}")).text


async def test_every_response_has_deprecation_headers(tenant):
    agent = await LegacyAgent.register(tenant)
    responses = [
        await tenant.http.get("/agents"),
        await tenant.http.get(f"/agents/{agent.id}"),
        await tenant.http.get("/agents/status/summary"),
        await tenant.http.get(f"/agents/{agent.id}/challenge"),
        await tenant.http.get("/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        await tenant.http.post("/agents", json={"nonsense": 1}),
        await tenant.http.get("/agents", headers={"Authorization": "Bearer junk"}),
    ]
    assert [response.status_code for response in responses] == [200, 200, 200, 200, 404, 400, 401]
    for response in responses:
        assert re.fullmatch(r"@\d+", response.headers["Deprecation"])
        assert response.headers["Link"] == '</api/v1/clients>; rel="successor-version"'
    assert "Deprecation" not in (await tenant.http.get("/clients")).headers


@pytest.mark.parametrize("kind", ["short rsa", "ec", "private", "junk", "empty"])
async def test_invalid_public_keys_are_rejected(tenant, kind):
    key = {
        "short rsa": lambda: to_openssh(rsa.generate_private_key(65537, 1024)),
        "ec": lambda: to_openssh(ec.generate_private_key(ec.SECP256R1())),
        "private": lambda: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        "junk": lambda: "ssh-rsa AAAA me@home",
        "empty": lambda: "",
    }[kind]()
    agent = await LegacyAgent.register(tenant)
    problems = [
        await tenant.call("POST", "/agents", 400, json={"name": "bad", "public_key": key}),
        await tenant.call("PUT", f"/agents/{agent.id}", 400, json={"public_key": key}),
    ]
    for problem in problems:
        assert problem["code"] == "invalid_request"
        assert [error["field"] for error in problem["errors"]] == ["public_key"]
    await eventually_equals(lambda: list_ids(tenant), [agent.id])


async def test_duplicate_names_and_unknown_fields_are_rejected(tenant):
    await LegacyAgent.register(tenant, name="Twin")
    duplicate = await tenant.call("POST", "/agents", 409, json={"name": "twin"})
    assert duplicate["code"] == "name_taken"
    unknown = await tenant.call("POST", "/agents", 400, json={"name": "x", "nkey": "U"})
    assert [error["field"] for error in unknown["errors"]] == ["nkey"]
    assert (await tenant.call("POST", "/agents", 400, json={"name": ""}))["errors"][0]["field"] == "name"
    assert (await tenant.call("GET", "/agents?status=away", 400))["code"] == "invalid_request"


async def test_list_is_paged_and_filtered_by_status(tenant, other_tenant):
    agents = [await LegacyAgent.register(tenant, name=f"a{number}") for number in range(5)]
    await tenant.call("PUT", f"/agents/{agents[0].id}", 200, json={"status": "suspended"})
    socket = await agents[1].connect_websocket()
    listed, cursor = [], ""
    while cursor is not None:
        page = await tenant.call("GET", f"/agents?limit=2{cursor and '&cursor='}{cursor}", 200)
        assert len(page["agents"]) <= 2
        listed += [agent["agent_id"] for agent in page["agents"]]
        cursor = page["next_cursor"]
        if cursor:
            foreign = await other_tenant.call("GET", f"/agents?cursor={cursor}", 400)
            assert foreign["code"] == "invalid_cursor"
    assert listed == [agent.id for agent in agents]
    expected = {"total": 5, "online": 1, "offline": 3, "suspended": 1}

    async def summary_matches():
        return await tenant.call("GET", "/agents/status/summary", 200) == expected

    await eventually(summary_matches)
    for status, count in (("online", 1), ("offline", 3), ("suspended", 1)):
        page = await tenant.call("GET", f"/agents?status={status}", 200)
        assert len(page["agents"]) == count
        assert {agent["status"] for agent in page["agents"]} == {status}
    assert await tenant.call("GET", "/clients", 200) == {"clients": [], "next_cursor": None}
    await socket.close()
    expected |= {"online": 0, "offline": 4}
    await eventually(summary_matches)
    assert (await tenant.call("GET", f"/agents/{agents[1].id}", 200))["last_seen"]
    assert (await other_tenant.call("GET", "/agents/status/summary", 200))["total"] == 0


async def test_agents_and_clients_count_toward_the_same_limit(new_stack):
    async with new_stack({"ARTCAFE_DEFAULT_PLAN": "free"}) as stack:
        tenant = await (await User.sign_up(stack)).create_organization()
        await LegacyAgent.register(tenant)
        await tenant.create_client()
        last = await LegacyAgent.register(tenant)
        for path in ("/agents", "/clients"):
            assert (await tenant.call("POST", path, 409, json={"name": "one more"}))["code"] == "plan_limit"
        await tenant.call("DELETE", f"/agents/{last.id}", 200)
        await tenant.create_client()
        assert (await tenant.call("POST", "/agents", 409, json={"name": "no"}))["code"] == "plan_limit"


async def test_viewer_can_read_but_not_change_agents(tenant, other_tenant):
    body = {"user_id": decode_claims(other_tenant.owner.token)["sub"], "role": "viewer"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
    agent = await LegacyAgent.register(tenant)
    viewer = {"headers": {"X-Tenant-Id": tenant.id}}
    assert (await other_tenant.http.get(f"/agents/{agent.id}", **viewer)).status_code == 200
    for response in (
        await other_tenant.http.post("/agents", json={"name": "x"}, **viewer),
        await other_tenant.http.put(f"/agents/{agent.id}", json={"name": "x"}, **viewer),
        await other_tenant.http.delete(f"/agents/{agent.id}", **viewer),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
