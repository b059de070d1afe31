"""Authentication of clients and dashboards."""

import asyncio
import contextlib
import json

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def close_code(ws):
    """The code with which the server closes, whatever it sends before."""
    async with asyncio.timeout(8):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code


async def test_authentication_must_come_in_time_and_be_right(tenant, other_tenant):

    agent, other = await tenant.create_client(), await tenant.create_client()
    url = agent.connection["websocket_url"]

    async def attempt(answer, expect=4401):
        ws = await connect(url, compression=None)
        challenge = json.loads(await ws.recv())
        if answer is not None:
            await ws.send(answer(challenge["nonce"]))
        assert await close_code(ws) == expect

    def frame(proof):
        return json.dumps({"type": "auth", **proof})

    await attempt(lambda _: frame(agent.proof("another nonce")))
    await attempt(lambda nonce: frame(other.sign_nonce(nonce)))
    await attempt(lambda nonce: frame({**agent.sign_nonce(nonce), "signature": "%%%"}))
    await attempt(lambda nonce: frame(agent.sign_nonce(nonce)).replace('nkey": "U', 'nkey": "A'))
    await attempt(None)
    # A nonce in the URL works once.
    challenge = await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": agent.id})
    signed = f"{url}?nonce={challenge['nonce']}&signature={agent.sign_nonce(challenge['nonce'])['signature']}"
    ws = await connect(signed)
    assert json.loads(await ws.recv())["type"] == "welcome"
    again = await connect(signed)
    assert await close_code(again) == 4401
    await ws.close()


async def test_a_wrong_proof_at_a_live_clients_door_disturbs_nobody(tenant, other_tenant):
    agent, other, thief = (
        await tenant.create_client(),
        await tenant.create_client(),
        await other_tenant.create_client(),
    )
    live, teller = await agent.connect_websocket(), await other.connect_websocket()
    await live.subscribe(subject="calm")
    board = await tenant.connect_dashboard()
    url = agent.connection["websocket_url"]
    for proof in (
        other.sign_nonce,
        thief.sign_nonce,
        lambda nonce: {**agent.sign_nonce(nonce), "signature": other.sign_nonce(nonce)["signature"]},
        lambda nonce: agent.sign_nonce(nonce + "x"),
    ):
        # In band, and in the URL.
        ws = await agent.connect_unauthenticated()
        ws_nonce = await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": agent.id})
        await ws.send(json.dumps({"type": "auth", **proof("not the nonce")}))
        assert await close_code(ws) == 4401
        nonce = ws_nonce["nonce"]
        ws = await connect(f"{url}?nonce={nonce}&signature={proof(nonce)['signature']}")
        assert await close_code(ws) == 4401
    assert live.closed is None
    await teller.send_and_receive("publish", "published", subject="calm", data="still here", id=1)
    assert (await live.receive("message"))["data"] == "still here"
    status = await tenant.call("GET", f"/clients/{agent.id}/status", 200)
    assert (status["status"], len(status["connections"])) == ("online", 1)
    assert [frame for frame in board.pending("presence") if frame["client_id"] == agent.id] == []


async def test_dashboard_needs_a_valid_token_and_a_tenant_of_ones_own(tenant, other_tenant):

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
    # Two tabs do not disturb each other.
    tabs = [await tenant.connect_dashboard() for _ in range(2)]
    await tabs[0].close()
    assert await tabs[1].send_and_receive("ping", "pong")
