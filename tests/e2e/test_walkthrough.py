"""The whole story, once through, over real sockets; beside it another tenant, which must see nothing of it."""

import asyncio
import json

import nats.errors
import pytest
from websockets.asyncio.client import connect

from support.waiting import eventually


async def test_the_story(tenant, other_tenant):
    alice, bob = await tenant.create_client("alice"), await tenant.create_client("bob")
    channel = await tenant.create_channel("general")
    channel_id, subject = channel["channel_id"], channel["subject"]
    assert subject == f"tenant.{tenant.id}.channel.{channel_id}"

    # The other tenant listens to everything, in every way.
    spy = await other_tenant.create_client("spy")
    spy_ws, spy_nc, spy_board = (
        await spy.connect_websocket(),
        await spy.connect_nats(),
        await other_tenant.connect_dashboard(),
    )
    spied = []

    async def note(message):
        if f".presence.{spy.id}" not in message.subject:
            spied.append(message.subject)

    await spy_ws.subscribe(subject=">")
    await spy_nc.subscribe(">", cb=note)
    await spy_nc.flush()
    await spy_board.send_and_receive("subscribe_topic_preview", "subscription_confirmed")

    # The dashboard looks on.
    board = await tenant.connect_dashboard()
    await board.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    await board.send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=channel_id)

    # One over WebSocket, the other straight over NATS.
    alice_ws = await alice.connect_websocket()
    assert alice_ws.welcome["client_id"] == alice.id
    bob_nc = await bob.connect_nats()
    assert (await board.receive("presence", client_id=alice.id))["status"] == "online"
    assert (await board.receive("presence", client_id=bob.id))["status"] == "online"
    heard = asyncio.Queue()

    async def hear(message):
        await heard.put(message)

    await bob_nc.subscribe(subject, cb=hear)
    await bob_nc.flush()
    await alice_ws.subscribe(channel=channel_id)

    # From NATS to WebSocket and dashboard.
    await bob_nc.publish(subject, b'{"hello":"from bob"}')
    message = await alice_ws.receive("message")
    assert message["data"] == {"hello": "from bob"}
    assert message["subject"] == subject
    assert message["channel"] == channel_id
    assert (await board.receive("channel_message"))["data"] == {"hello": "from bob"}
    assert (await board.receive("topic_preview_message"))["subject"] == subject
    await asyncio.wait_for(heard.get(), 5)  # bob hears himself

    # From WebSocket to NATS, acknowledged.
    await alice_ws.send(type="publish", channel=channel_id, data={"n": 1}, id="p1")
    assert (await alice_ws.receive("published"))["id"] == "p1"
    got = await asyncio.wait_for(heard.get(), 5)
    assert json.loads(got.data) == {"n": 1}
    assert got.headers["Artcafe-From"] == alice.id
    assert (await board.receive("channel_message"))["from"] == alice.id

    # By REST to both.
    accepted = await tenant.call("POST", f"/channels/{channel_id}/messages", 202, json={"by": "rest"})
    assert accepted["subject"] == subject
    assert json.loads((await asyncio.wait_for(heard.get(), 5)).data) == {"by": "rest"}
    await alice_ws.receive("message", data={"n": 1})
    await alice_ws.receive("message", data={"by": "rest"})

    # Request and reply, both ways round.
    async def answer(request):
        await request.respond(b'{"answer":42}')

    await bob_nc.subscribe(f"{tenant.id}.ask", cb=answer)
    await bob_nc.flush()
    await alice_ws.send(type="request", subject="ask", data={}, id="q")
    assert (await alice_ws.receive("reply"))["data"] == {"answer": 42}

    # Both are there; then bob leaves.
    for agent in (alice, bob):
        status = await tenant.call("GET", f"/clients/{agent.id}/status", 200)
        assert status["status"] == "online"
        assert len(status["connections"]) == 1
    await bob_nc.close()
    assert (await board.receive("presence", client_id=bob.id))["status"] == "offline"
    assert (await tenant.call("GET", f"/clients/{bob.id}/status", 200))["status"] == "offline"

    # The usage shows it: three messages on the channel, one request, bob's reply.
    async def usage():
        stats = await tenant.call("GET", "/usage/local/stats", 200)
        return stats if stats["today"]["messages"] == 5 else None

    stats = await eventually(usage)
    channels = {each["channel_id"]: each for each in stats["channels"]}
    assert channels[channel_id]["messages"] == 2  # bob's came in over NATS, where channels are unknown
    clients = {each["client_id"]: each["messages"] for each in stats["clients"]}
    assert clients == {alice.id: 2, bob.id: 2}

    # And the other tenant received nothing.
    assert spied == []
    assert [m for m in spy_ws.pending("message") if m["subject"] != f"presence.{spy.id}"] == []
    assert spy_board.pending("topic_preview_message") == []
    assert [p for p in spy_board.pending("presence") if p["client_id"] != spy.id] == []


async def test_a_stranger_is_told_nothing(tenant, other_tenant):
    alice, spy = await tenant.create_client("alice"), await other_tenant.create_client("spy")
    channel = await tenant.create_channel("general")
    missing = "01JADAR0000000000000000000"

    # Ids of the other tenant are as good as none at all.
    for path, real in (("clients", alice.id), ("channels", channel["channel_id"])):
        for method in ("GET", "PUT", "DELETE"):
            body = {"json": {}} if method == "PUT" else {}
            theirs = await other_tenant.http.request(method, f"/{path}/{real}", **body)
            none = await other_tenant.http.request(method, f"/{path}/{missing}", **body)
            assert theirs.status_code == none.status_code == 404
            assert _bare(theirs) == _bare(none)
    posted = await other_tenant.http.post(f"/channels/{channel['channel_id']}/messages", json=1)
    assert posted.status_code == 404
    for path in (f"/clients/{alice.id}/status",):
        assert (await other_tenant.http.get(path)).status_code == 404

    # Nor may one act for the other tenant, whether it exists or not.
    for method, path in (("GET", "/clients"), ("GET", "/usage/current"), ("POST", "/channels")):
        theirs = await other_tenant.http.request(method, path, headers={"X-Tenant-Id": tenant.id}, json={})
        none = await other_tenant.http.request(method, path, headers={"X-Tenant-Id": missing}, json={})
        assert theirs.status_code == none.status_code == 403
        assert _bare(theirs) == _bare(none)
    assert (await other_tenant.http.get(f"/accounts/{tenant.id}")).status_code == 403

    # Cursors are bound to their tenant.
    for _ in range(2):
        await tenant.create_client()
    page = await tenant.call("GET", "/clients?limit=1", 200)
    stolen = await other_tenant.http.get("/clients", params={"cursor": page["next_cursor"]})
    assert stolen.status_code == 400
    assert stolen.json()["code"] == "invalid_cursor"

    # Subjects that name the other tenant are refused over WebSocket ...
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

    # ... and lead nowhere over NATS: they are names in the stranger's own account.
    alice_ws, alice_nc, spy_nc = (
        await alice.connect_websocket(),
        await alice.connect_nats(),
        await spy.connect_nats(),
    )
    heard = []

    async def hear(message):
        heard.append(message.subject)

    await alice_ws.subscribe(subject=">")
    await alice_nc.subscribe(">", cb=hear)
    await alice_nc.flush()
    for subject in (f"tenant.{tenant.id}.x", f"{tenant.id}.x", channel["subject"]):
        await spy_nc.publish(subject, b"1")
    await spy_nc.publish(f"_heartbeat.{tenant.id}.{alice.id}", b"{}")
    await spy_nc.flush()

    # Inboxes too.
    async def answer(message):
        await asyncio.sleep(0.2)
        await message.respond(b"secret")

    await alice_nc.subscribe("ask", cb=answer)
    inboxes = []

    async def note(message):
        inboxes.append(message.subject)

    await spy_nc.subscribe("_INBOX.>", cb=note)
    await spy_nc.flush()
    assert (await alice_nc.request("ask", b"", timeout=2)).data == b"secret"
    await spy_nc.flush()
    assert inboxes == []
    with pytest.raises((nats.errors.NoRespondersError, nats.errors.TimeoutError)):
        await spy_nc.request("ask", b"", timeout=0.5)
    assert [s for s in heard if not s.startswith("_INBOX") and s != "ask" and ".presence." not in s] == []
    # The platform's own news of who comes are no stranger's.
    assert [f for f in alice_ws.pending("message") if not f["subject"].startswith("presence.")] == []

    # A challenge of the other's client is of no use without its key, and is used up by trying.
    challenge = await other_tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": alice.id})
    proof = spy.sign_nonce(challenge["nonce"])
    for _ in range(2):
        async with connect(
            f"{alice.connection['websocket_url']}?nonce={challenge['nonce']}&signature={proof['signature']}"
        ) as refused:
            assert json.loads(await refused.recv())["code"] == "authentication_failed"
            with pytest.raises(Exception, match="4401"):
                await refused.recv()
    # Alice, meanwhile, was not disturbed (a failed connect once silenced the live one).
    assert (await alice_ws.send_and_receive("ping", "pong"))["timestamp"]
    status = await tenant.call("GET", f"/clients/{alice.id}/status", 200)
    assert status["status"] == "online"


def _bare(answer):
    problem = answer.json()
    problem.pop("request_id")
    return problem
