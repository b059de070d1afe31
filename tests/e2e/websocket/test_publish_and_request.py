"""Publishing, and requests with replies."""

import asyncio


async def test_request_reply_and_its_failures(tenant, socket_pair):
    asker, _ = socket_pair
    await asker.send(type="request", subject="nobody", data=1, id="a")
    assert await asker.receive("error", id="a") == {
        "type": "error",
        "code": "no_responders",
        "message": "Nobody answers this subject",
        "id": "a",
    }
    responder = await (await tenant.create_client()).connect_nats()

    async def sleepy(message):
        await asyncio.sleep(2)
        await message.respond(b"1")

    await responder.subscribe(f"{tenant.id}.sleepy", cb=sleepy)
    await responder.flush()
    await asker.send(type="request", subject="sleepy", data=1, id="b", timeout_ms=200)
    assert (await asker.receive("error", id="b"))["code"] == "timeout"


async def test_a_websocket_client_can_answer_requests(socket_pair):
    asker, responder = socket_pair
    await responder.subscribe(subject="sum")
    await asker.send(type="request", subject="sum", data=[1, 2], id="q")
    asked = await responder.receive("message")
    await responder.send(type="publish", subject=asked["reply"], data=sum(asked["data"]))
    assert (await asker.receive("reply", id="q"))["data"] == 3


async def test_publish_carries_any_json_as_it_was_written(socket_pair):
    publisher, subscriber = socket_pair
    await subscriber.subscribe(subject="any")
    for data in (None, True, 0, -1.5, "text", [], {}, {"a": [1, {"b": "ü 😀"}]}, 12345678901234567890):
        await publisher.send(type="publish", subject="any", data=data)
        assert (await subscriber.receive("message"))["data"] == data


async def test_presence_is_the_platforms_own_word(tenant, socket_pair):
    watcher, liar = socket_pair
    victim = await tenant.create_client()
    await watcher.subscribe(subject="presence.*")
    for subject in (
        f"presence.{victim.id}",
        f"{tenant.id}.presence.{victim.id}",
        f"tenant.{tenant.id}.presence.{victim.id}",
    ):
        await liar.send(type="publish", subject=subject, data={"status": "online"}, id=1)
        assert (await liar.receive("error"))["code"] == "forbidden_subject"
    await watcher.assert_no_frame("message")
    await victim.connect_nats()
    heard = await watcher.receive("message")
    assert heard["subject"] == f"presence.{victim.id}"
    assert heard["data"]["status"] == "online"


async def test_a_restricted_client_may_answer_what_it_is_asked(tenant):
    asker = await (await tenant.create_client()).connect_websocket()
    permissions = {"publish": ["results.>"], "subscribe": ["sum"]}
    responder = await (await tenant.create_client(permissions=permissions)).connect_websocket()
    await responder.subscribe(subject="sum")
    await responder.send(type="publish", subject="_INBOX.somebody.else", data=1, id=1)
    assert (await responder.receive("error"))["code"] == "forbidden_subject"
    await asker.send(type="request", subject="sum", data=[1, 2], id="q")
    asked = await responder.receive("message")
    await responder.send(type="publish", subject=asked["reply"], data=3)
    assert (await asker.receive("reply", id="q"))["data"] == 3
