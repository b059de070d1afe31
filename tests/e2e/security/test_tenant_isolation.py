"""What another organization can reach: REST routes, subjects, inboxes and logins."""

import asyncio
import json

import nats.errors
import pytest
from websockets.asyncio.client import connect

from support.api_examples import UNKNOWN_ID
from support.problems import without_request_id
from support.waiting import eventually


async def test_another_organization_has_no_access(tenant, other_tenant):
    alice, spy = await tenant.create_client("alice"), await other_tenant.create_client("spy")
    channel = await tenant.create_channel("general")
    missing = UNKNOWN_ID

    # Its ids behave like ids that do not exist.
    for path, real in (("clients", alice.id), ("channels", channel["channel_id"])):
        for method in ("GET", "PUT", "DELETE"):
            body = {"json": {}} if method == "PUT" else {}
            foreign = await other_tenant.http.request(method, f"/{path}/{real}", **body)
            unknown = await other_tenant.http.request(method, f"/{path}/{missing}", **body)
            assert foreign.status_code == unknown.status_code == 404
            assert without_request_id(foreign) == without_request_id(unknown)
    posted = await other_tenant.http.post(f"/channels/{channel['channel_id']}/messages", json=1)
    assert posted.status_code == 404
    assert (await other_tenant.http.get(f"/clients/{alice.id}/status")).status_code == 404

    # A caller cannot act for another organization, whether it exists or not.
    for method, path in (("GET", "/clients"), ("GET", "/usage/current"), ("POST", "/channels")):
        foreign = await other_tenant.http.request(method, path, headers={"X-Tenant-Id": tenant.id}, json={})
        unknown = await other_tenant.http.request(method, path, headers={"X-Tenant-Id": missing}, json={})
        assert foreign.status_code == unknown.status_code == 403
        assert without_request_id(foreign) == without_request_id(unknown)
    assert (await other_tenant.http.get(f"/accounts/{tenant.id}")).status_code == 403

    # Cursors are bound to their tenant.
    for _ in range(2):
        await tenant.create_client()
    page = await tenant.call("GET", "/clients?limit=1", 200)
    stolen = await other_tenant.http.get("/clients", params={"cursor": page["next_cursor"]})
    assert stolen.status_code == 400
    assert stolen.json()["code"] == "invalid_cursor"

    # Subjects of another organization are rejected over WebSocket ...
    ws = await spy.connect_websocket()
    for subject in (
        f"tenant.{tenant.id}.x",
        f"{tenant.id}.x",
        f"agents.{tenant.id}.x",
        f"tenant.{tenant.id}.channel.{channel['channel_id']}",
    ):
        for kind in ("subscribe", "publish"):
            await ws.send(type=kind, subject=subject, data=1, id=f"{kind}")
            assert (await ws.receive("error"))["code"] == "forbidden_subject"

    # ... and over NATS they are subjects in the caller's own account.
    alice_ws, alice_nc, spy_nc = (
        await alice.connect_websocket(),
        await alice.connect_nats(),
        await spy.connect_nats(),
    )
    received = []

    async def record(message):
        received.append(message.subject)

    await alice_ws.subscribe(subject=">")
    await alice_nc.subscribe(">", cb=record)
    await alice_nc.flush()
    for subject in (f"tenant.{tenant.id}.x", f"{tenant.id}.x", channel["subject"]):
        await spy_nc.publish(subject, b"1")
    await spy_nc.publish(f"_heartbeat.{tenant.id}.{alice.id}", b"{}")
    await spy_nc.flush()

    # So are inboxes.
    async def respond(message):
        await asyncio.sleep(0.2)
        await message.respond(b"secret")

    await alice_nc.subscribe("ask", cb=respond)
    inboxes = []

    async def record_inbox(message):
        inboxes.append(message.subject)

    await spy_nc.subscribe("_INBOX.>", cb=record_inbox)
    await spy_nc.flush()
    assert (await alice_nc.request("ask", b"", timeout=2)).data == b"secret"
    await spy_nc.flush()
    assert inboxes == []
    with pytest.raises((nats.errors.NoRespondersError, nats.errors.TimeoutError)):
        await spy_nc.request("ask", b"", timeout=0.5)
    assert [s for s in received if not s.startswith("_INBOX") and s != "ask" and ".presence." not in s] == []
    # Presence events of the platform are expected.
    assert [f for f in alice_ws.pending("message") if not f["subject"].startswith("presence.")] == []

    # A challenge of a foreign client is useless without its key.
    challenge = await other_tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": alice.id})
    signed = spy.sign_nonce(challenge["nonce"])
    for _ in range(2):
        async with connect(
            f"{alice.connection['websocket_url']}?nonce={challenge['nonce']}&signature={signed['signature']}"
        ) as ws:
            assert json.loads(await ws.recv())["code"] == "authentication_failed"
            with pytest.raises(Exception, match="4401"):
                await ws.recv()
    # Failed logins do not affect Alice's connection.
    assert (await alice_ws.send_and_receive("ping", "pong"))["timestamp"]
    await eventually(lambda: tenant.is_online(alice.id))
