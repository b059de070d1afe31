"""Authentication of clients and dashboards."""

import asyncio
import contextlib
import json

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def close_code(ws):
    """The close code, after any number of frames."""
    async with asyncio.timeout(8):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code


async def test_invalid_or_missing_authentication_closes_4401(tenant):
    client, other = await tenant.create_client(), await tenant.create_client()
    url = client.connection["websocket_url"]

    async def assert_rejected(build_frame):
        ws = await connect(url, compression=None)
        challenge = json.loads(await ws.recv())
        if build_frame is not None:
            await ws.send(build_frame(challenge["nonce"]))
        assert await close_code(ws) == 4401

    def auth(fields):
        return json.dumps({"type": "auth", **fields})

    await assert_rejected(lambda _: auth(client.sign_nonce("another nonce")))
    await assert_rejected(lambda nonce: auth(other.sign_nonce(nonce)))
    await assert_rejected(lambda nonce: auth({**client.sign_nonce(nonce), "signature": "%%%"}))
    await assert_rejected(lambda nonce: auth(client.sign_nonce(nonce)).replace('nkey": "U', 'nkey": "A'))
    await assert_rejected(None)
    # A nonce in the URL works once.
    challenge = await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": client.id})
    signed = (
        f"{url}?nonce={challenge['nonce']}&signature={client.sign_nonce(challenge['nonce'])['signature']}"
    )
    ws = await connect(signed)
    assert json.loads(await ws.recv())["type"] == "welcome"
    assert await close_code(await connect(signed)) == 4401
    await ws.close()


async def test_failed_login_does_not_affect_live_sockets(tenant, other_tenant):
    client, other = await tenant.create_client(), await tenant.create_client()
    foreign = await other_tenant.create_client()
    dashboard = await tenant.connect_dashboard()
    live, publisher = await client.connect_websocket(), await other.connect_websocket()
    await live.subscribe(subject="calm")
    await dashboard.receive("presence", client_id=client.id, status="online")
    url = client.connection["websocket_url"]
    for sign in (
        other.sign_nonce,
        foreign.sign_nonce,
        lambda nonce: {**client.sign_nonce(nonce), "signature": other.sign_nonce(nonce)["signature"]},
        lambda nonce: client.sign_nonce(nonce + "x"),
    ):
        # In a frame, and in the URL.
        ws = await client.connect_unauthenticated()
        await ws.send(json.dumps({"type": "auth", **sign("not the nonce")}))
        assert await close_code(ws) == 4401
        challenge = await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": client.id})
        nonce = challenge["nonce"]
        ws = await connect(f"{url}?nonce={nonce}&signature={sign(nonce)['signature']}")
        assert await close_code(ws) == 4401
    assert live.closed is None
    await publisher.send_and_receive("publish", "published", subject="calm", data="still here", id=1)
    assert (await live.receive("message"))["data"] == "still here"
    status = await tenant.call("GET", f"/clients/{client.id}/status", 200)
    assert (status["status"], len(status["connections"])) == ("online", 1)
    assert [frame for frame in dashboard.pending("presence") if frame["client_id"] == client.id] == []


async def test_dashboard_needs_a_valid_token_and_an_own_organization(tenant, other_tenant):
    base = f"ws://127.0.0.1:{tenant.stack.ports.api}/api/v1/ws/dashboard"
    token = tenant.owner.token
    for url, code in (
        (base, 4401),
        (f"{base}?token=junk", 4401),
        (f"{base}?token={token}&tenant_id={other_tenant.id}", 4403),
    ):
        ws = await connect(url)
        assert await close_code(ws) == code
    ws = await connect(
        f"{base}?tenant_id={tenant.id}", additional_headers={"Authorization": f"Bearer {token}"}
    )
    assert json.loads(await ws.recv())["tenant_id"] == tenant.id
    await ws.close()
    # Two dashboards of one user are independent.
    tabs = [await tenant.connect_dashboard() for _ in range(2)]
    await tabs[0].close()
    assert await tabs[1].send_and_receive("ping", "pong")
