"""The WebSocket protocol: names, order, once, back-pressure, and errors that do not close."""

import asyncio
import contextlib
import json

import nats.errors
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from artcafe_common.broker.connect import connect as connect_nats
from artcafe_common.broker.system_account import list_connections
from support.agents import LegacyAgent
from support.waiting import eventually


async def close_code(ws):
    """The code with which the server closes, whatever it sends before."""
    async with asyncio.timeout(8):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code


async def pair(tenant):
    one, other = await tenant.create_client(), await tenant.create_client()
    return await one.connect_websocket(), await other.connect_websocket()


@pytest.mark.parametrize("published", ["x.y", "{tid}.x.y", "tenant.{tid}.x.y"])
@pytest.mark.parametrize("subscribed", ["x.*", "{tid}.x.*", "tenant.{tid}.x.*"])
async def test_the_three_spellings_are_one_name(tenant, published, subscribed):
    publisher, subscriber = await pair(tenant)
    published, subscribed = published.format(tid=tenant.id), subscribed.format(tid=tenant.id)
    await subscriber.subscribe(subject=subscribed)
    await publisher.send_and_receive("publish", "published", subject=published, data=1, id=1)
    message = await subscriber.receive("message")
    # The real subject, in the subscriber's spelling.
    assert message["subject"] == subscribed.replace("*", "y")
    assert await subscriber.assert_no_frame("message") is None


async def test_direct_nats_clients_of_every_habit_meet_websockets(tenant):
    agent = await tenant.create_client()
    socket, nc = await (await tenant.create_client()).connect_websocket(), await agent.connect_nats()
    await socket.subscribe(subject="x")
    for subject in (f"{tenant.id}.x", f"tenant.{tenant.id}.x"):
        await nc.publish(subject, b"1")
        assert (await socket.receive("message"))["subject"] == "x"
    for habit in ("agents", "channels"):
        subject = f"{habit}.{tenant.id}.x"
        await socket.subscribe(subject=subject)
        await nc.publish(subject, b'"as it is"')
        assert (await socket.receive("message"))["subject"] == subject
    await nc.publish(f"{tenant.id}.x", b"\xff\x00")
    assert (await socket.receive("message"))["data"] == {"base64": "/wA="}


async def test_overlapping_subscriptions_deliver_once(tenant):
    publisher, subscriber = await pair(tenant)
    for subject in ("a.>", "a.*", "a.b", "*.b", f"{tenant.id}.a.b", f"tenant.{tenant.id}.a.>"):
        await subscriber.subscribe(subject=subject)
    for number in range(200):
        await publisher.send(type="publish", subject="a.b", data=number)
    await eventually(lambda: len(subscriber.pending("message")) >= 200)
    await asyncio.sleep(0.3)
    assert [frame["data"] for frame in subscriber.pending("message")] == list(range(200))
    assert {frame["subject"] for frame in subscriber.pending("message")} == {"a.b"}
    # Taking one away leaves the others.
    await subscriber.send_and_receive("unsubscribe", "unsubscribed", subject="a.>")
    subscriber._pending.clear()
    await publisher.send_and_receive("publish", "published", subject="a.b", data="still", id=1)
    assert (await subscriber.receive("message"))["data"] == "still"
    await subscriber.assert_no_frame("message")


async def test_unsubscribe_and_close_leave_nothing_behind(tenant):
    publisher, subscriber = await pair(tenant)
    await subscriber.subscribe(subject="gone")
    await subscriber.send_and_receive("unsubscribe", "unsubscribed", subject="gone")
    await subscriber.subscribe(subject="left")
    await publisher.send_and_receive("publish", "published", subject="gone", data=1, id=1)
    await subscriber.assert_no_frame("message")

    async def subscriptions():
        text = (await tenant.http.get("/metrics")).text
        return next(float(s.split()[1]) for s in text.splitlines() if s.startswith("artcafe_bridge_sub"))

    before = await subscriptions()
    await subscriber.close()
    await eventually(lambda: _less(subscriptions, before - 1))


async def _less(measure, bound):
    return await measure() <= bound


async def test_nothing_from_before_subscribed_and_order_is_kept(tenant):
    publisher, subscriber = await pair(tenant)
    stop = asyncio.Event()

    async def flood():
        number = 0
        while not stop.is_set():
            await publisher.send(type="publish", subject="flow", data=number)
            number += 1
            await asyncio.sleep(0.0005)

    flooding = asyncio.create_task(flood())
    await asyncio.sleep(0.1)
    await subscriber.send(type="subscribe", subject="flow", id="s")
    await eventually(lambda: len(subscriber.pending("message")) > 100)
    stop.set()
    await flooding
    kinds = [frame["type"] for frame in subscriber._pending]
    assert kinds[0] == "subscribed"
    numbers = [frame["data"] for frame in subscriber.pending("message")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_many_sockets_of_one_client_are_independent(tenant):
    agent, publisher = await tenant.create_client(), await (await tenant.create_client()).connect_websocket()
    sockets = [await agent.connect_websocket() for _ in range(3)]
    for socket in sockets:
        await socket.subscribe(subject="all")
    await sockets[0].close()
    # A quick return is not deaf, and closing the old one does not end the new.
    sockets[0] = await agent.connect_websocket()
    await sockets[0].subscribe(subject="all")
    await publisher.send_and_receive("publish", "published", subject="all", data="hi", id=1)
    for socket in sockets:
        assert (await socket.receive("message"))["data"] == "hi"
    status = await tenant.call("GET", f"/clients/{agent.id}/status", 200)
    assert status["status"] == "online"


async def test_reconnecting_again_and_again_never_makes_deaf(tenant):
    agent, publisher = await tenant.create_client(), await (await tenant.create_client()).connect_websocket()
    for number in range(10):
        socket = await agent.connect_websocket()
        await socket.subscribe(subject="again")
        await publisher.send_and_receive("publish", "published", subject="again", data=number, id=number)
        assert (await socket.receive("message"))["data"] == number
        if number % 2:
            await socket.close()
        else:
            socket.ws.transport.abort()


async def test_one_tab_of_a_dashboard_leaves_the_other_its_channel(tenant):
    channel, publisher = (
        await tenant.create_channel(),
        await (await tenant.create_client()).connect_websocket(),
    )
    name = channel["channel_id"]
    tabs = []
    for number in range(10):
        tabs.append(await tenant.connect_dashboard())
        await tabs[-1].send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
        await tabs[-1].send_and_receive("subscribe_topic_preview", "subscription_confirmed")
        # The older one goes: by a word, by a close frame, or without either.
        if number % 3 == 0:
            await tabs[-1].send_and_receive(
                "unsubscribe_channel", "unsubscription_confirmed", channel_id=name
            )
            await tabs[-1].send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
        if len(tabs) > 2:
            gone = tabs.pop(0)
            if number % 2:
                await gone.close()
            else:
                gone.ws.transport.abort()
        await publisher.send_and_receive("publish", "published", channel=name, data=number, id=number)
        for tab in tabs:
            assert (await tab.receive("channel_message"))["data"] == number
            assert (await tab.receive("topic_preview_message"))["data"] == number


async def test_request_reply_and_its_failures(tenant):
    asker, _ = await pair(tenant)
    await asker.send(type="request", subject="nobody", data=1, id="a")
    assert await asker.receive("error", id="a") == {
        "type": "error",
        "code": "no_responders",
        "message": "No client subscribes to this subject",
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


async def test_a_websocket_client_can_answer_requests(tenant):
    asker, responder = await pair(tenant)
    await responder.subscribe(subject="sum")
    await asker.send(type="request", subject="sum", data=[1, 2], id="q")
    asked = await responder.receive("message")
    await responder.send(type="publish", subject=asked["reply"], data=sum(asked["data"]))
    assert (await asker.receive("reply", id="q"))["data"] == 3


async def test_publish_carries_any_json_as_it_was_written(tenant):
    publisher, subscriber = await pair(tenant)
    await subscriber.subscribe(subject="any")
    for data in (None, True, 0, -1.5, "text", [], {}, {"a": [1, {"b": "ü 😀"}]}, 12345678901234567890):
        await publisher.send(type="publish", subject="any", data=data)
        assert (await subscriber.receive("message"))["data"] == data


async def test_a_slow_reader_is_cut_and_slows_nobody(tenant):
    publisher, fast = await pair(tenant)
    slow = await (await tenant.create_client()).connect_websocket()
    for socket in (fast, slow):
        await socket.subscribe(subject="big")
    slow.ws.transport.pause_reading()
    block = "x" * 200_000
    for number in range(100):
        await publisher.send(type="publish", subject="big", data=block, id=number)
        await publisher.receive("published", id=number)
    await eventually(lambda: len(fast.pending("message")) == 100, within=20)
    text = (await tenant.http.get("/metrics")).text
    assert "artcafe_websocket_slow_consumers_total 1.0" in text
    slow.ws.transport.resume_reading()
    code, _ = await slow.wait_closed(10)
    assert code in (4408, 1006)  # dropped outright when it does not even read the close frame
    assert await publisher.send_and_receive("ping", "pong")


async def test_a_frame_over_one_mebibyte_closes_1009(tenant):
    socket, other = await pair(tenant)
    await other.subscribe(subject="x")
    await socket.ws.send(json.dumps({"type": "publish", "subject": "x", "data": "x" * (1024 * 1024)}))
    assert await socket.wait_closed() == (1009, "too_large")
    # Just below it, it arrives.
    third = await (await tenant.create_client()).connect_websocket()
    size = 1024 * 1024 - 200
    await third.send_and_receive("publish", "published", subject="x", data="x" * size, id=1)
    assert len((await other.receive("message"))["data"]) == size


async def test_whatever_is_about_the_limit_is_delivered_or_told(tenant):
    """What fits into a frame may be too much for the broker, with the headers that go along."""
    socket, other = await pair(tenant)
    await other.subscribe(subject="edge")
    mib = 1024 * 1024
    frame = {"type": "publish", "subject": "edge", "data": "", "headers": {"h": "v" * 500}, "id": "e"}
    empty = len(json.dumps(frame))
    for size in (*range(mib - 800, mib, 100), mib - 1, mib):
        frame["data"] = "x" * (size - empty)
        text = json.dumps(frame)
        assert len(text) == size
        await socket.ws.send(text)
        answer = await socket.receive_any({"published", "error"}, id="e")
        if answer["type"] == "published":
            assert len((await other.receive("message"))["data"]) == len(frame["data"])
        else:
            assert answer["code"] == "message_too_large"
    await other.assert_no_frame("message")
    assert await socket.send_and_receive("ping", "pong")


async def test_too_large_a_frame_is_told_at_every_door(tenant):
    agent = await LegacyAgent.register(tenant)
    direct = await (await tenant.create_client()).connect_nats()
    for socket in (
        await (await tenant.create_client()).connect_websocket(),
        await agent.connect_websocket(),
        await tenant.connect_dashboard(),
    ):
        await socket.ws.send(json.dumps({"type": "ping", "pad": "x" * 1024 * 1024}))
        assert (await socket.wait_closed())[0] == 1009
    with pytest.raises(nats.errors.MaxPayloadError):
        await direct.publish("x", b"x" * (direct.max_payload + 1))


async def test_three_times_no_json_closes_1007_but_not_when_a_good_frame_is_between(tenant):
    socket, _ = await pair(tenant)
    for _ in range(2):
        await socket.ws.send("{nonsense")
        assert (await socket.receive("error"))["code"] == "not_json"
    assert await socket.send_and_receive("ping", "pong")
    for _ in range(3):
        await socket.ws.send(b"\xff\xfe", text=True)
    assert await socket.wait_closed() == (1007, "not_json")


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


async def test_one_subscription_at_the_broker_however_many_sockets_listen(tenant):
    agent = await tenant.create_client()
    sockets = [await agent.connect_websocket() for _ in range(5)]
    for socket in sockets:
        await socket.subscribe(subject="shared.>")
    stack = tenant.stack
    keys = stack.directory / "keys"
    system = await connect_nats(stack.environ()["NATS_URL"], keys / "metering-system.creds", name="metering")
    try:
        bridges = [
            connection
            for listing in await list_connections(system)
            for connection in listing.connections
            if connection.name_tag == tenant.id
        ]
    finally:
        await system.close()
    # The name has two spellings at the broker: two subscriptions, on one connection, for all five.
    assert [bridge.subscriptions for bridge in bridges] == [2]


async def test_presence_is_the_platforms_own_word(tenant):
    watcher, liar = await pair(tenant)
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


async def test_an_oversize_upgrade_is_refused_not_ignored(tenant):
    url = f"ws://127.0.0.1:{tenant.stack.ports.api}/ws/dashboard?token={'x' * 20_000}"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url)
    assert refused.value.response.status_code == 431
