"""Bearer tokens of clients: what they open, what they do not, and when they end."""

import base64
import time

import httpx
import pytest

from support.api_examples import UNKNOWN_ID
from support.client_tokens import connect_rest, sign_challenge
from support.history import publish
from support.problems import assert_problem
from support.tokens import decode_claims
from support.waiting import eventually


@pytest.fixture
async def channel(tenant):
    return await tenant.create_channel()


def messages_of(channel):
    return f"/channels/{channel['channel_id']}/messages"


async def test_client_publishes_reads_and_sees_itself(tenant, channel):
    client, other = await tenant.create_client(), await tenant.create_client()
    socket = await other.connect_websocket()
    await socket.subscribe(channel=channel["channel_id"])
    rest = await connect_rest(client)
    # A channel's name does as well as its id.
    for name in (channel["channel_id"], channel["name"]):
        accepted = await rest.post(f"/channels/{name}/messages", json={"n": 1})
        assert accepted.status_code == 202, accepted.text
        assert (await socket.receive("message"))["from"] == client.id
    stored = (await rest.get(messages_of(channel))).json()["messages"]
    assert [(each["from"], each["data"]) for each in stored] == [(client.id, {"n": 1})] * 2
    roster = (await rest.get("/roster")).json()["roster"]
    assert {each["client_id"] for each in roster} == {client.id, other.id}
    assert (await rest.get(f"/clients/{client.id}/status")).json()["client_id"] == client.id
    assert_problem(await rest.get(f"/clients/{other.id}/status"), 403, "client_not_allowed")
    assert (await rest.get("/roster", headers={"X-Tenant-Id": tenant.id})).status_code == 200
    assert_problem(await rest.get("/roster", headers={"X-Tenant-Id": UNKNOWN_ID}), 403, "forbidden")

    async def counted():
        stats = await tenant.call("GET", "/usage/local/stats", 200)
        return [each["messages"] for each in stats["clients"] if each["client_id"] == client.id] == [2]

    await eventually(counted)


async def test_message_ids_are_those_of_the_client_on_every_way(tenant, channel):
    client = await tenant.create_client()
    rest, socket = await connect_rest(client), await client.connect_websocket()
    published = await socket.send_and_receive(
        "publish", "published", channel=channel["channel_id"], data=1, id=1, message_id="once"
    )
    repeated = (await rest.post(messages_of(channel), json={"data": 1, "message_id": "once"})).json()
    assert (repeated["seq"], repeated["duplicate"]) == (published["seq"], True)
    by_key = [
        (await rest.post(messages_of(channel), json=2, headers={"Idempotency-Key": "k"})).json()["seq"]
        for _ in range(2)
    ]
    assert by_key[0] == by_key[1]
    # Another client's ids are its own.
    other = await connect_rest(await tenant.create_client())
    assert (
        "duplicate"
        not in (await other.post(messages_of(channel), json={"data": 1, "message_id": "once"})).json()
    )


async def test_permissions_and_scope_both_decide(tenant, channel):
    subject = channel["subject"]
    other_channel = await tenant.create_channel()
    await publish(tenant, channel, 0)
    narrow = await tenant.create_client(permissions={"publish": [subject], "subscribe": []})
    wide = await tenant.create_client()
    cases = [
        (await connect_rest(narrow), channel, (202, 403)),
        (await connect_rest(narrow), other_channel, (403, 403)),
        # A scope never adds what the client may not do.
        (await connect_rest(narrow, scope={"publish": [">"], "subscribe": [">"]}), other_channel, (403, 403)),
        (await connect_rest(wide, scope={"subscribe": [subject]}), channel, (202, 200)),
        (await connect_rest(wide, scope={"subscribe": [subject]}), other_channel, (202, 403)),
        (await connect_rest(wide, scope={"publish": []}), channel, (403, 200)),
    ]
    for rest, target, statuses in cases:
        responses = [await rest.post(messages_of(target), json=1), await rest.get(messages_of(target))]
        assert tuple(each.status_code for each in responses) == statuses
        codes = {each.json()["code"] for each in responses if each.status_code == 403}
        assert codes <= {"forbidden_subject"}
    # New permissions apply to a token that is in use.
    rest = cases[0][0]
    await tenant.call("PUT", f"/clients/{narrow.id}", 200, json={"permissions": {"publish": []}})

    async def is_refused():
        return (await rest.post(messages_of(channel), json=1)).status_code == 403

    await eventually(is_refused, within=1)
    denials = await eventually(lambda: tenant.list_items("/activity/logs?type=access"))
    assert denials


async def test_every_other_route_is_closed(tenant, channel):
    client = await tenant.create_client()
    rest = await connect_rest(client)
    document = (await rest.get(str(tenant.stack.api) + "/schema/openapi.json")).json()
    open_routes, closed = [], 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            accepted = [next(iter(each)) for each in operation["security"]]
            if "client_token" in accepted:
                open_routes.append(f"{method} {path.removeprefix('/api/v1')}")
            elif "bearer" in accepted:
                url = str(tenant.stack.api) + path.replace("{", "").replace("}", "")
                assert_problem(await rest.request(method, url), 403, "client_not_allowed")
                closed += 1
    assert closed > 50
    assert sorted(open_routes) == [
        "get /channels/{channel_id}/events",
        "get /channels/{channel_id}/messages",
        "get /clients/{client_id}/agent-card",
        "get /clients/{client_id}/status",
        "get /roster",
        "post /channels/{channel_id}/messages",
    ]


async def test_nonce_signature_and_fields_are_checked(tenant, stack):
    client, other = await tenant.create_client(), await tenant.create_client()

    async def request(**fields):
        return await tenant.http.post("/auth/client/token", json={**await sign_challenge(client), **fields})

    signed = await sign_challenge(client)
    issued = await tenant.http.post("/auth/client/token", json={**signed, "ttl_s": 60})
    assert issued.status_code == 200
    claims = decode_claims(issued.json()["token"])
    assert claims["exp"] - claims["iat"] == 60
    assert_problem(await tenant.http.post("/auth/client/token", json=signed), 401, "authentication_failed")
    foreign = (await sign_challenge(other))["signature"]
    unsigned = base64.urlsafe_b64encode(bytes(64)).decode()
    for wrong in (
        {"signature": foreign},
        {"signature": unsigned},
        {"client_id": other.id},
        {"nonce": "x" * 43},
    ):
        assert_problem(await request(**wrong), 401, "authentication_failed")
    for wrong in ({"ttl_s": 3601}, {"ttl_s": 0}, {"scope": {"publish": "x"}}, {"scope": {"streams": "read"}}):
        assert_problem(await request(**wrong), 400, "invalid_request")
    for pattern in ("a..b", f"tenant.{UNKNOWN_ID}.x", "$JS.>"):
        response = await request(scope={"publish": ["ok", pattern]})
        assert_problem(response, 400, "invalid_request")
        assert [each["field"] for each in response.json()["errors"]] == ["scope.publish[1]"]
    # A token is for REST: it opens neither a dashboard nor another signature's place.
    token = issued.json()["token"]
    head, payload, _ = token.split(".")
    async with httpx.AsyncClient(base_url=tenant.http.base_url, timeout=20) as http:
        for forged in (f"{head}.{payload}.", f"{head}.{payload}.{'A' * 86}"):
            response = await http.get("/roster", headers={"Authorization": f"Bearer {forged}"})
            assert_problem(response, 401, "invalid_token")


@pytest.mark.parametrize("reason", ["deleted", "suspended", "key_regenerated"])
async def test_token_ends_with_its_key(tenant, reason):
    client = await tenant.create_client()
    rest = await connect_rest(client)
    assert (await rest.get("/roster")).status_code == 200
    path = f"/clients/{client.id}"
    began = time.perf_counter()
    if reason == "deleted":
        await tenant.call("DELETE", path, 200)
    elif reason == "suspended":
        await tenant.call("PUT", path, 200, json={"status": "suspended"})
    else:
        await tenant.call("POST", f"{path}/regenerate-nkey", 200)

    async def is_refused():
        return (await rest.get("/roster")).status_code == 401

    await eventually(is_refused, within=1, every=0.01)
    assert time.perf_counter() - began < 1
