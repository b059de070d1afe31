"""Publishing, and requests with replies."""

import asyncio

from support.waiting import QUIET_PERIOD_S


async def test_request_without_responder_or_timely_reply_fails(tenant, socket_pair):
    requester, _ = socket_pair
    await requester.send(type="request", subject="nobody", data=1, id="a")
    assert await requester.receive("error", id="a") == {
        "type": "error",
        "code": "no_responders",
        "message": "No client subscribes to this subject",
        "id": "a",
    }
    responder = await (await tenant.create_client()).connect_nats()

    async def respond_late(message):
        await asyncio.sleep(2)
        await message.respond(b"1")

    await responder.subscribe(f"{tenant.id}.sleepy", cb=respond_late)
    await responder.flush()
    await requester.send(type="request", subject="sleepy", data=1, id="b", timeout_ms=200)
    assert (await requester.receive("error", id="b"))["code"] == "timeout"


async def test_websocket_client_responds_to_requests(socket_pair):
    requester, responder = socket_pair
    await responder.subscribe(subject="sum")
    await requester.send(type="request", subject="sum", data=[1, 2], id="q")
    request = await responder.receive("message")
    await responder.send(type="publish", subject=request["reply"], data=sum(request["data"]))
    assert (await requester.receive("reply", id="q"))["data"] == 3


async def test_publish_preserves_any_json(socket_pair):
    publisher, subscriber = socket_pair
    await subscriber.subscribe(subject="any")
    for data in (None, True, 0, -1.5, "text", [], {}, {"a": [1, {"b": "ü 😀"}]}, 12345678901234567890):
        await publisher.send(type="publish", subject="any", data=data)
        assert (await subscriber.receive("message"))["data"] == data


async def test_clients_cannot_publish_presence_events(tenant, socket_pair):
    subscriber, forger = socket_pair
    client = await tenant.create_client()
    await subscriber.subscribe(subject="presence.*")
    for subject in (
        f"presence.{client.id}",
        f"{tenant.id}.presence.{client.id}",
        f"tenant.{tenant.id}.presence.{client.id}",
    ):
        await forger.send(type="publish", subject=subject, data={"status": "online"}, id=1)
        assert (await forger.receive("error"))["code"] == "forbidden_subject"
    await asyncio.sleep(QUIET_PERIOD_S)
    # Only the platform's own events, of the two clients that are connected.
    subjects = {message["subject"] for message in subscriber.drain("message")}
    assert f"presence.{client.id}" not in subjects
    await client.connect_nats()
    message = await subscriber.receive("message", subject=f"presence.{client.id}")
    assert message["data"]["status"] == "online"


async def test_restricted_client_can_respond_to_requests(tenant):
    requester = await (await tenant.create_client()).connect_websocket()
    permissions = {"publish": ["results.>"], "subscribe": ["sum"]}
    responder = await (await tenant.create_client(permissions=permissions)).connect_websocket()
    await responder.subscribe(subject="sum")
    await responder.send(type="publish", subject="_INBOX.somebody.else", data=1, id=1)
    assert (await responder.receive("error"))["code"] == "forbidden_subject"
    await requester.send(type="request", subject="sum", data=[1, 2], id="q")
    request = await responder.receive("message")
    await responder.send(type="publish", subject=request["reply"], data=3)
    assert (await requester.receive("reply", id="q"))["data"] == 3
