"""The export of an organization: everything that it can read of itself, as JSON Lines."""

import json
from collections import Counter

from support.actors import Tenant, User
from support.agents import LegacyAgent
from support.history import create_subject
from support.problems import assert_rejected
from support.waiting import eventually


async def read_export(tenant):
    response = await tenant.http.get(f"/accounts/{tenant.id}/export")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].startswith("application/jsonl")
    assert response.headers["Content-Disposition"] == f'attachment; filename="{tenant.id}.jsonl"'
    return response.text, [json.loads(line) for line in response.text.splitlines()]


async def add_person(tenant, role):
    user = await User.sign_up(tenant.stack)
    user_id = (await user.http.get("/profile/me")).json()["user_id"]
    body = {"user_id": user_id, "role": role}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
    return Tenant(user, tenant.account)


async def test_export_has_everything_of_the_organization_and_nothing_else(tenant, other_tenant):
    other_client = await other_tenant.create_client("other robot")
    clients = [await tenant.create_client(f"robot {number}") for number in range(2)]
    agent = await LegacyAgent.register(tenant, name="legacy")
    channel, subject = await tenant.create_channel(), await create_subject(tenant)
    key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": 1})

    async def is_counted():
        _, lines = await read_export(tenant)
        return sum(line["data"]["messages"] for line in lines if line["type"] == "usage") >= 1

    await eventually(is_counted)
    text, lines = await read_export(tenant)
    assert lines[0]["type"] == "export"
    assert (lines[0]["data"]["version"], lines[0]["data"]["account_id"]) == (1, tenant.id)
    assert lines[1] == {"type": "account", "data": await tenant.call("GET", f"/accounts/{tenant.id}", 200)}
    assert lines[-1] == {"type": "end", "data": {"records": len(lines) - 2}}
    assert all(line.keys() == {"type", "data"} for line in lines)
    found = Counter(line["type"] for line in lines)
    assert found["client"] == len(clients)
    assert found["activity"] > len(clients)
    ids = {
        "client": ("client_id", {client.id for client in clients}),
        "agent": ("agent_id", {agent.id}),
        "channel": ("channel_id", {channel["channel_id"]}),
        "subject": ("subject_id", {subject["subject_id"]}),
        "member": ("role", {"owner"}),
    }
    for kind, (field, expected) in ids.items():
        assert {line["data"][field] for line in lines if line["type"] == kind} == expected
    for hidden in (key["nkey_seed"], *(client.seed for client in clients), other_tenant.id, other_client.id):
        assert hidden not in text


async def test_export_is_for_owners_and_admins_also_of_a_deleted_organization(tenant, other_tenant):
    path = f"/accounts/{tenant.id}/export"
    admin, member = await add_person(tenant, "admin"), await add_person(tenant, "member")
    await tenant.call("DELETE", f"/accounts/{tenant.id}", 200)
    for allowed in (tenant, admin):
        assert (await read_export(allowed))[1][1]["data"]["status"] == "deleted"
    await assert_rejected(member, "GET", path, 403, "forbidden")
    await assert_rejected(Tenant(other_tenant.owner, tenant.account), "GET", path, 403, "forbidden")
    head = await tenant.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
