"""A deleted organization is disconnected and refused, can be restored for 7 days, and then nothing of it remains."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import nats.errors
import pytest
from nats.js.api import StreamConfig

from support.actors import Tenant, User
from support.agents import LegacyAgent
from support.aws import call_dynamodb
from support.history import create_subject, read_history
from support.problems import assert_rejected
from support.remains import accounts_of, list_items, list_redis_keys, list_stream_names, system_connection
from support.snapshot import snapshot
from support.tokens import decode_claims
from support.waiting import eventually

MANAGE = {"publish": [">"], "subscribe": [">"], "streams": "manage"}


async def can_connect(client):
    try:
        return await client.connect_nats()
    except nats.errors.Error:
        return None


async def test_deleted_organization_is_disconnected_within_a_second_and_restored(tenant, other_tenant):
    client, agent = await tenant.create_client(), await LegacyAgent.register(tenant)
    channel = await tenant.create_channel()
    await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": 1})
    admin = await User.sign_up(tenant.stack)
    admin_id = (await admin.http.get("/profile/me")).json()["user_id"]
    await tenant.call(
        "POST", f"/accounts/{tenant.id}/members", 201, json={"user_id": admin_id, "role": "admin"}
    )
    as_admin = Tenant(admin, tenant.account)
    bystander = await (await other_tenant.create_client()).connect_websocket()
    closed = asyncio.Event()

    async def on_closed():
        closed.set()

    sockets = [
        await client.connect_websocket(),
        await agent.connect_websocket(),
        await tenant.connect_dashboard(),
    ]
    await client.connect_nats(closed_cb=on_closed)
    path = f"/accounts/{tenant.id}"

    await assert_rejected(as_admin, "DELETE", path, 403, "forbidden")
    stale = {"If-Match": '"1-0000000000000000"'}
    await assert_rejected(tenant, "DELETE", path, 412, "precondition_failed", headers=stale)
    before = await tenant.http.get(path)
    began = asyncio.get_running_loop().time()
    deleted = await tenant.call("DELETE", path, 200, headers={"If-Match": before.headers["ETag"]})
    closes = [await socket.wait_closed(2) for socket in sockets]
    await asyncio.wait_for(closed.wait(), 3)
    seconds = asyncio.get_running_loop().time() - began
    print(f"\ndisconnected after {seconds * 1000:.0f} ms")
    assert closes == [(4403, "account_deleted")] * 3
    assert seconds < 1
    assert deleted["status"] == "deleted"
    remaining = datetime.fromisoformat(deleted["deletion_at"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < remaining <= timedelta(days=7)

    # What its clients and members may not do, and what its people still may.
    for attempt in (client.connect_websocket, agent.connect_websocket, tenant.connect_dashboard):
        with pytest.raises(ConnectionError, match="4403"):
            await attempt()
    with pytest.raises(nats.errors.Error):
        await client.connect_nats()
    await assert_rejected(tenant, "GET", "/clients", 403, "account_deleted")
    await assert_rejected(tenant, "POST", "/channels", 403, "account_deleted", json={"name": "x"})
    await assert_rejected(tenant, "PUT", path, 403, "account_deleted", json={"name": "x"})
    await assert_rejected(as_admin, "POST", f"{path}/restore", 403, "forbidden")
    assert await tenant.call("DELETE", path, 200) == deleted
    assert await tenant.call("GET", path, 200) == deleted
    assert (await tenant.call("GET", "/accounts", 200))["accounts"] == [deleted]
    assert await bystander.send_and_receive("ping", "pong")

    restored = await tenant.call("POST", f"{path}/restore", 200)
    assert (restored["status"], restored["deletion_at"]) == ("active", None)
    assert await tenant.call("POST", f"{path}/restore", 200) == restored
    await eventually(partial(can_connect, client))
    for connect_again in (client.connect_websocket, agent.connect_websocket, tenant.connect_dashboard):
        await connect_again()
    assert (await read_history(tenant, channel))["messages"][0]["data"] == 1
    logs = (await tenant.call("GET", "/activity/logs", 200, params={"type": "account"}))["logs"]
    assert [each["action"] for each in logs].count("account.deleted") == 1
    assert [each["action"] for each in logs].count("account.restored") == 1


async def test_nothing_remains_of_a_deleted_organization_after_its_grace(tenant):
    stack, owner = tenant.stack, tenant.owner
    other = await owner.create_organization("Other")
    accounts, texts = [], [tenant.id]
    for organization in (tenant, other):
        client = await organization.create_client("robot", permissions=MANAGE)
        agent = await LegacyAgent.register(organization, name="legacy")
        channel = await organization.create_channel("news")
        await create_subject(organization)
        await organization.call("POST", f"/accounts/generate-nkey/{organization.id}", 201)
        member = {"user_id": "somebody", "role": "viewer"}
        await organization.call("POST", f"/accounts/{organization.id}/members", 201, json=member)
        invited = {"email": "invited@example.com"}
        await organization.call("POST", f"/accounts/{organization.id}/invitations", 201, json=invited)
        message = f"/channels/{channel['channel_id']}/messages"
        await organization.call("POST", message, 202, json={"data": 1}, headers={"Idempotency-Key": "one"})
        socket = await client.connect_websocket()
        await socket.send_and_receive("subscribe", "subscribed", channel="news", id="1")
        nc = await client.connect_nats()
        await nc.jetstream().add_stream(StreamConfig(name="MINE", subjects=["mine.>"]))
        await agent.connect_websocket()
        if organization is tenant:
            accounts = await accounts_of(tenant)
            texts += [client.id, agent.id, client.record["nkey_public"], channel["channel_id"], *accounts]
    assert {"CHANNELS", "MINE"} < set(await list_stream_names(stack, accounts))
    assert {table for table, _ in await list_items(stack, tenant.id)} >= {
        "artcafe-tenants",
        "artcafe-clients",
    }
    untouched = await snapshot(other)

    await tenant.call("DELETE", f"/accounts/{tenant.id}", 200)
    await _let_grace_pass(tenant)
    await eventually(partial(_is_in_round, tenant, "2"), within=30)
    await assert_rejected(tenant, "POST", f"/accounts/{tenant.id}/restore", 403, "forbidden")
    await _make_due(tenant)

    async def nothing_remains():
        return await list_items(stack, *texts) == []

    await eventually(nothing_remains, within=30)
    assert await list_redis_keys(stack, *texts) == []
    assert await list_stream_names(stack, accounts) == []
    async with system_connection(stack) as system:
        for account in accounts:
            lookup = await system.request(f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP", b"", timeout=2)
            token = decode_claims(lookup.data.decode())
            assert (token["name"], token["nats"]["limits"]["conn"]) == ("deleted", 0)
            assert tenant.id not in str(token)

    # The person and the other organization stay, and the names can be used again.
    after = await snapshot(other)
    assert [each["account_id"] for each in after["/accounts"]["accounts"]] == [other.id]
    assert _unchanging(after) == _unchanging(untouched)
    again = await owner.create_organization()
    await again.create_channel("news")


def _unchanging(responses):
    """What does not depend on the person's other organizations and on who is connected."""
    unchanging = {
        path: response
        for path, response in responses.items()
        if path.startswith(("/accounts/", "/channels/", "/subjects/")) and not path.endswith("/subscribers")
    }
    names = {kind: [each["name"] for each in responses[kind][kind]] for kind in ("clients", "agents")}
    return unchanging | names


async def _let_grace_pass(tenant):
    """Move the deletion back by 8 days."""
    past = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%S.%f}Z"
    await _set(tenant, "artcafe-tenants", tenant.id, "deletion_at", past)
    await _set(tenant, "artcafe-activity-logs", f"deletion#{tenant.id}", "timestamp", past)


async def _make_due(tenant):
    past = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    await _set(tenant, "artcafe-activity-logs", f"deletion#{tenant.id}", "timestamp", past)


async def _is_in_round(tenant, number):
    key = {"id": {"S": f"deletion#{tenant.id}"}}
    response = await call_dynamodb(tenant.stack, "get_item", TableName="artcafe-activity-logs", Key=key)
    return response["Item"]["round"]["N"] == number


async def _set(tenant, table, key, attribute, value):
    await call_dynamodb(
        tenant.stack,
        "update_item",
        TableName=table,
        Key={"id": {"S": key}},
        UpdateExpression="SET #a = :v",
        ExpressionAttributeNames={"#a": attribute},
        ExpressionAttributeValues={":v": {"S": value}},
    )
