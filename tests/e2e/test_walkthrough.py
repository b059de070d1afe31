"""A walk through the system: two clients, a dashboard, and another organization that sees nothing of it."""

import asyncio
import json

from support.waiting import eventually


async def test_clients_exchange_messages_over_every_transport(tenant, other_tenant):
    alice, bob = await tenant.create_client("alice"), await tenant.create_client("bob")
    channel = await tenant.create_channel("general")
    channel_id, subject = channel["channel_id"], channel["subject"]
    assert subject == f"tenant.{tenant.id}.channel.{channel_id}"

    # A client and a dashboard of another organization subscribe to everything.
    spy = await other_tenant.create_client("spy")
    spy_ws, spy_nc, spy_dashboard = (
        await spy.connect_websocket(),
        await spy.connect_nats(),
        await other_tenant.connect_dashboard(),
    )
    leaked = []

    async def record_leak(message):
        if f".presence.{spy.id}" not in message.subject:
            leaked.append(message.subject)

    await spy_ws.subscribe(subject=">")
    await spy_nc.subscribe(">", cb=record_leak)
    await spy_nc.flush()
    await spy_dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed")

    # The organization's own dashboard.
    dashboard = await tenant.connect_dashboard()
    await dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    await dashboard.send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=channel_id)

    # Alice connects over WebSocket, Bob over NATS.
    alice_ws = await alice.connect_websocket()
    assert alice_ws.welcome["client_id"] == alice.id
    bob_nc = await bob.connect_nats()
    assert (await dashboard.receive("presence", client_id=alice.id))["status"] == "online"
    assert (await dashboard.receive("presence", client_id=bob.id))["status"] == "online"
    received = asyncio.Queue()

    async def record(message):
        await received.put(message)

    await bob_nc.subscribe(subject, cb=record)
    await bob_nc.flush()
    await alice_ws.subscribe(channel=channel_id)

    # From NATS to WebSocket and dashboard.
    await bob_nc.publish(subject, b'{"hello":"from bob"}')
    message = await alice_ws.receive("message")
    assert message["data"] == {"hello": "from bob"}
    assert message["subject"] == subject
    assert message["channel"] == channel_id
    assert (await dashboard.receive("channel_message"))["data"] == {"hello": "from bob"}
    assert (await dashboard.receive("topic_preview_message"))["subject"] == subject
    await asyncio.wait_for(received.get(), 5)  # Bob receives his own message

    # From WebSocket to NATS, acknowledged.
    await alice_ws.send(type="publish", channel=channel_id, data={"n": 1}, id="p1")
    assert (await alice_ws.receive("published"))["id"] == "p1"
    message = await asyncio.wait_for(received.get(), 5)
    assert json.loads(message.data) == {"n": 1}
    assert message.headers["Artcafe-From"] == alice.id
    assert (await dashboard.receive("channel_message"))["from"] == alice.id

    # From REST to both.
    accepted = await tenant.call("POST", f"/channels/{channel_id}/messages", 202, json={"by": "rest"})
    assert accepted["subject"] == subject
    assert json.loads((await asyncio.wait_for(received.get(), 5)).data) == {"by": "rest"}
    await alice_ws.receive("message", data={"n": 1})
    await alice_ws.receive("message", data={"by": "rest"})

    # Request and reply.
    async def respond(request):
        await request.respond(b'{"answer":42}')

    await bob_nc.subscribe(f"{tenant.id}.ask", cb=respond)
    await bob_nc.flush()
    await alice_ws.send(type="request", subject="ask", data={}, id="q")
    assert (await alice_ws.receive("reply"))["data"] == {"answer": 42}

    # Both are online; then Bob disconnects.
    for client in (alice, bob):
        status = await tenant.call("GET", f"/clients/{client.id}/status", 200)
        assert status["status"] == "online"
        assert len(status["connections"]) == 1
    await bob_nc.close()
    assert (await dashboard.receive("presence", client_id=bob.id))["status"] == "offline"
    assert (await tenant.call("GET", f"/clients/{bob.id}/status", 200))["status"] == "offline"

    # Usage: three messages on the channel, one request, and Bob's reply.
    async def usage():
        stats = await tenant.call("GET", "/usage/local/stats", 200)
        return stats if stats["today"]["messages"] == 5 else None

    stats = await eventually(usage)
    channels = {each["channel_id"]: each for each in stats["channels"]}
    # Bob's message came over NATS, where channels are not counted.
    assert channels[channel_id]["messages"] == 2
    clients = {each["client_id"]: each["messages"] for each in stats["clients"]}
    assert clients == {alice.id: 2, bob.id: 2}

    # The other organization received nothing.
    assert leaked == []
    assert [m for m in spy_ws.pending("message") if m["subject"] != f"presence.{spy.id}"] == []
    assert spy_dashboard.pending("topic_preview_message") == []
    assert [p for p in spy_dashboard.pending("presence") if p["client_id"] != spy.id] == []
