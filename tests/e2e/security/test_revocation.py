"""Whoever is cut off is cut off everywhere, within a second."""

import asyncio
import json
import time

import nats
import pytest
from nats.aio.client import RawCredentials

from artcafe_common.broker.claims import Credentials, UserClaims, encode
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from support.actors import Tenant
from support.waiting import eventually


@pytest.mark.parametrize("how", ["deleted", "suspended", "key_regenerated"])
async def test_live_connections_end_within_a_second(tenant, how):
    agent, other = await tenant.create_client(), await tenant.create_client()
    sockets = [await agent.connect_websocket(), await agent.connect_websocket()]
    bystander_ws, bystander_nc = await other.connect_websocket(), await other.connect_nats()
    cut = asyncio.Event()

    async def closed():
        cut.set()

    await agent.connect_nats(closed_cb=closed)
    path = f"/clients/{agent.id}"
    began = time.perf_counter()
    if how == "deleted":
        await tenant.call("DELETE", path, 200)
    elif how == "suspended":
        await tenant.call("PUT", path, 200, json={"status": "suspended"})
    else:
        await tenant.call("POST", f"{path}/regenerate-nkey", 200)
    answered = time.perf_counter()
    ends = [await socket.wait_closed(2) for socket in sockets]
    websocket_s = time.perf_counter() - began
    await asyncio.wait_for(cut.wait(), 2)
    nats_s = time.perf_counter() - began
    print(
        f"\n{how}: answered after {(answered - began) * 1000:.0f} ms, "
        f"WebSockets cut after {websocket_s * 1000:.0f} ms, NATS after {nats_s * 1000:.0f} ms"
    )
    assert ends == [(4403, how)] * 2
    assert websocket_s < 1
    assert nats_s < 1

    # It cannot come back with the old key, and nobody else was disturbed.
    with pytest.raises(nats.errors.Error):
        await agent.connect_nats()
    with pytest.raises(ConnectionError, match="4401"):
        await agent.connect_websocket()
    assert await bystander_ws.send_and_receive("ping", "pong")
    await bystander_nc.flush()
    assert bystander_nc.is_connected


async def test_a_new_key_works_at_once_and_a_suspended_client_can_return(tenant):
    agent = await tenant.create_client()
    old = agent.seed
    agent.seed = (await tenant.call("POST", f"/clients/{agent.id}/regenerate-nkey", 200))["nkey_seed"]
    assert agent.seed != old
    await agent.connect_websocket()
    await agent.connect_nats()
    await tenant.call("PUT", f"/clients/{agent.id}", 200, json={"status": "suspended"})
    with pytest.raises(ConnectionError, match="4401"):
        await agent.connect_websocket()
    assert (await tenant.call("GET", f"/clients/{agent.id}", 200))["status"] == "suspended"
    await tenant.call("PUT", f"/clients/{agent.id}", 200, json={"status": "active"})
    await agent.connect_websocket()
    await agent.connect_nats()


async def test_new_permissions_apply_to_a_connected_client(tenant):
    agent = await tenant.create_client()
    socket, nc = await agent.connect_websocket(), await agent.connect_nats()
    await socket.send_and_receive("publish", "published", subject="orders.new", data=1, id="a")
    permissions = {"publish": ["metrics.>"], "subscribe": ["metrics.>"]}
    await tenant.call("PUT", f"/clients/{agent.id}", 200, json={"permissions": permissions})
    assert (await socket.wait_closed())[0] == 1012
    await eventually(lambda: nc.is_closed)
    socket = await agent.connect_websocket()
    await socket.send(type="publish", subject="orders.new", data=1, id="b")
    assert (await socket.receive("error"))["code"] == "forbidden_subject"
    await socket.send_and_receive("publish", "published", subject="metrics.cpu", data=1, id="c")
    refusals = []

    async def refused(error):
        refusals.append(str(error))

    nc = await agent.connect_nats(error_cb=refused)
    await nc.publish(f"{tenant.id}.orders.new", b"1")
    await nc.publish(f"{tenant.id}.metrics.cpu", b"1")
    await nc.publish(f"_heartbeat.{tenant.id}.{agent.id}", b"{}")
    await nc.flush()
    await eventually(lambda: refusals)
    assert len(refusals) == 1
    assert "orders.new" in refusals[0]


async def test_a_member_who_leaves_loses_the_dashboard(tenant, other_tenant):
    user_id = (await other_tenant.call("GET", f"/accounts/{other_tenant.id}/members", 200))["members"][0][
        "user_id"
    ]
    body = {"user_id": user_id, "role": "viewer"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
    seen = Tenant(other_tenant.owner, {"account_id": tenant.id})
    board = await seen.connect_dashboard()
    assert (await seen.http.get("/clients")).status_code == 200
    # Viewers look, and change nothing.
    refused = await seen.http.post("/clients", json={"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    await tenant.call("DELETE", f"/accounts/{tenant.id}/members/{user_id}", 200)
    assert await board.wait_closed(2) == (4403, "membership_ended")
    assert (await seen.http.get("/clients")).status_code == 403


async def test_a_tenants_own_signing_key_lets_its_users_in_until_it_is_replaced(tenant):
    running = await (await tenant.create_client()).connect_nats()
    issued = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    assert issued["nkey_seed"].startswith("SA")
    assert issued["nkey_public"].startswith("A")
    pair = create_key_pair(KeyKind.USER)
    # A tenant issues users under its signing key; its account is what its connections show.
    account = running._server_info.get("account") or await _account_of(running)
    jwt = encode(
        UserClaims(issuer_account=account),
        issuer=KeyPair(issued["nkey_seed"]),
        subject=pair.public,
        name="own",
        issued_at=int(time.time()),
    )

    async def quiet(_error):
        return None

    own = await nats.connect(
        f"nats://127.0.0.1:{tenant.stack.ports.nats}",
        user_credentials=RawCredentials(Credentials(jwt=jwt, seed=pair.seed).render()),
        allow_reconnect=False,
        error_cb=quiet,
    )
    await own.flush()
    again = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    assert again["nkey_public"] != issued["nkey_public"]
    await eventually(lambda: own.is_closed, within=2)
    await running.flush()
    assert running.is_connected


async def _account_of(nc):
    answer = await nc.request("$SYS.REQ.USER.INFO", b"", timeout=2)
    return json.loads(answer.data)["data"]["account"]
