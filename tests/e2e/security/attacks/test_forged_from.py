"""`from` is shown only for messages that a gateway published for that client: nobody can pose as another."""

import asyncio

from support.history import publish, read_history
from support.watchers import Watchers


async def test_sender_that_a_direct_publisher_writes_is_not_shown(tenant):
    watchers = await Watchers.connect(tenant)
    victim, attacker = await tenant.create_client(), await tenant.create_client()
    socket, nc = await victim.connect_websocket(), await attacker.connect_nats()
    subject, received = watchers.channel["subject"], asyncio.Queue()
    await nc.subscribe(subject, cb=received.put)
    await nc.flush()

    # Without an id it is not acknowledged, and has no unique id by which the stream would know its copies.
    await socket.send(type="publish", channel=watchers.channel["name"], data=1)
    # This one is stored behind it.
    await socket.send_and_receive("publish", "published", channel=watchers.channel["name"], data=0, id=1)
    assert await watchers.see(1) == {victim.id}
    signed = (await asyncio.wait_for(received.get(), 5)).headers

    await nc.publish(subject, b"2", headers={"Artcafe-From": victim.id})
    # What the gateway signed is valid for its own payload, subject and headers only.
    await nc.publish(subject, b"3", headers=signed)
    await nc.publish(subject, b"4", headers={**signed, "Extra": "header"})
    await nc.flush()
    for data in (2, 3, 4):
        assert await watchers.see(data) == {None}
    other = await tenant.create_channel()
    await nc.publish(other["subject"], b"1", headers=signed)
    await nc.flush()
    (stored,) = (await read_history(tenant, other))["messages"]
    assert "from" not in stored


async def test_message_id_that_a_direct_publisher_writes_is_not_shown(tenant):
    watchers = await Watchers.connect(tenant)
    nc = await (await tenant.create_client()).connect_nats()
    (accepted,) = await publish(tenant, watchers.channel, 1)
    await nc.publish(
        watchers.channel["subject"], b"2", headers={"Artcafe-Message-Id": accepted["message_id"]}
    )
    await nc.flush()
    await watchers.see(2)
    messages = (await read_history(tenant, watchers.channel))["messages"]
    assert [message.get("message_id") for message in messages] == [accepted["message_id"], None]


async def test_request_has_the_sender_that_the_gateway_signed(tenant):
    one, other = [await tenant.create_client() for _ in range(2)]
    asking, answering = await one.connect_websocket(), await other.connect_websocket()
    await answering.subscribe(subject="ask")
    await asking.send(type="request", subject="ask", data=1, id="r")
    request = await answering.receive("message")
    assert request["from"] == one.id
    await answering.send(type="publish", subject=request["reply"], data=2)
    assert (await asking.receive("reply", id="r"))["data"] == 2
