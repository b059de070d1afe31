"""Revoked clients, members and keys are disconnected everywhere, within a second."""

import asyncio
import time

import nats
import pytest

from support.actors import Tenant
from support.signing_keys import account_of, connect_minted_user
from support.tokens import decode_claims
from support.waiting import eventually


@pytest.mark.parametrize("reason", ["deleted", "suspended", "key_regenerated"])
async def test_revoked_client_is_disconnected_within_a_second(tenant, reason):
    client, other = await tenant.create_client(), await tenant.create_client()
    sockets = [await client.connect_websocket(), await client.connect_websocket()]
    bystander_ws, bystander_nc = await other.connect_websocket(), await other.connect_nats()
    nats_closed = asyncio.Event()

    async def on_closed():
        nats_closed.set()

    await client.connect_nats(closed_cb=on_closed)
    path = f"/clients/{client.id}"
    began = time.perf_counter()
    if reason == "deleted":
        await tenant.call("DELETE", path, 200)
    elif reason == "suspended":
        await tenant.call("PUT", path, 200, json={"status": "suspended"})
    else:
        await tenant.call("POST", f"{path}/regenerate-nkey", 200)
    responded = time.perf_counter()
    closes = [await socket.wait_closed(2) for socket in sockets]
    websocket_s = time.perf_counter() - began
    await asyncio.wait_for(nats_closed.wait(), 2)
    nats_s = time.perf_counter() - began
    print(
        f"\n{reason}: response after {(responded - began) * 1000:.0f} ms, "
        f"WebSockets closed after {websocket_s * 1000:.0f} ms, NATS after {nats_s * 1000:.0f} ms"
    )
    assert closes == [(4403, reason)] * 2
    assert websocket_s < 1
    assert nats_s < 1

    # It cannot reconnect with the old key, and other clients stay connected.
    with pytest.raises(nats.errors.Error):
        await client.connect_nats()
    with pytest.raises(ConnectionError, match="4401"):
        await client.connect_websocket()
    assert await bystander_ws.send_and_receive("ping", "pong")
    await bystander_nc.flush()
    assert bystander_nc.is_connected


async def test_new_key_and_reactivated_client_can_connect(tenant):
    client = await tenant.create_client()
    old_seed = client.seed
    client.seed = (await tenant.call("POST", f"/clients/{client.id}/regenerate-nkey", 200))["nkey_seed"]
    assert client.seed != old_seed
    await client.connect_websocket()
    await client.connect_nats()
    await tenant.call("PUT", f"/clients/{client.id}", 200, json={"status": "suspended"})
    with pytest.raises(ConnectionError, match="4401"):
        await client.connect_websocket()
    assert (await tenant.call("GET", f"/clients/{client.id}", 200))["status"] == "suspended"
    await tenant.call("PUT", f"/clients/{client.id}", 200, json={"status": "active"})
    await client.connect_websocket()
    await client.connect_nats()


async def test_new_permissions_apply_to_a_connected_client(tenant):
    client = await tenant.create_client()
    socket, nc = await client.connect_websocket(), await client.connect_nats()
    await socket.send_and_receive("publish", "published", subject="orders.new", data=1, id="a")
    permissions = {"publish": ["metrics.>"], "subscribe": ["metrics.>"]}
    await tenant.call("PUT", f"/clients/{client.id}", 200, json={"permissions": permissions})
    assert (await socket.wait_closed())[0] == 1012
    await eventually(lambda: nc.is_closed)
    socket = await client.connect_websocket()
    await socket.send(type="publish", subject="orders.new", data=1, id="b")
    assert (await socket.receive("error"))["code"] == "forbidden_subject"
    await socket.send_and_receive("publish", "published", subject="metrics.cpu", data=1, id="c")
    errors = []

    async def record_error(error):
        errors.append(str(error))

    nc = await client.connect_nats(error_cb=record_error)
    await nc.publish(f"{tenant.id}.orders.new", b"1")
    await nc.publish(f"{tenant.id}.metrics.cpu", b"1")
    await nc.publish(f"_heartbeat.{tenant.id}.{client.id}", b"{}")
    await nc.flush()
    await eventually(lambda: errors)
    assert len(errors) == 1
    assert "orders.new" in errors[0]


async def test_removed_member_is_disconnected_from_the_dashboard(tenant, other_tenant):
    user_id = decode_claims(other_tenant.owner.token)["sub"]
    body = {"user_id": user_id, "role": "viewer"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
    as_viewer = Tenant(other_tenant.owner, {"account_id": tenant.id})
    dashboard = await as_viewer.connect_dashboard()
    assert (await as_viewer.http.get("/clients")).status_code == 200
    # Viewers can only read.
    response = await as_viewer.http.post("/clients", json={"name": "x"})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    await tenant.call("DELETE", f"/accounts/{tenant.id}/members/{user_id}", 200)
    assert await dashboard.wait_closed(2) == (4403, "membership_ended")
    assert (await as_viewer.http.get("/clients")).status_code == 403


async def test_users_of_a_signing_key_are_disconnected_when_it_is_replaced(tenant):
    client_nc = await (await tenant.create_client()).connect_nats()
    issued = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    assert issued["nkey_seed"].startswith("SA")
    assert issued["nkey_public"].startswith("A")
    account = await account_of(client_nc)
    issued_nc = await connect_minted_user(tenant.stack, account, issued["nkey_seed"])
    replacement = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    assert replacement["nkey_public"] != issued["nkey_public"]
    await eventually(lambda: issued_nc.is_closed, within=2)
    await client_nc.flush()
    assert client_nc.is_connected
