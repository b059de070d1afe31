"""Frames that are too large or not JSON, and subscribers that do not read."""

import json

import nats.errors
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from support.actors import Socket
from support.agents import LegacyAgent
from support.waiting import eventually


async def test_slow_reader_is_disconnected_and_does_not_slow_others(tenant, socket_pair):
    publisher, fast = socket_pair
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
    assert 'artcafe_websocket_slow_consumers_total{kind="client"} 1.0' in text
    slow.ws.transport.resume_reading()
    code, _ = await slow.wait_closed(10)
    # 1006 if it does not read the close frame in time.
    assert code in (4408, 1006)
    assert await publisher.send_and_receive("ping", "pong")


async def test_frame_over_one_mebibyte_closes_1009(tenant, socket_pair):
    socket, other = socket_pair
    await other.subscribe(subject="x")
    await socket.ws.send(json.dumps({"type": "publish", "subject": "x", "data": "x" * (1024 * 1024)}))
    assert await socket.wait_closed() == (1009, "too_large")


async def connect_with_defaults(client):
    """A WebSocket of a library with its defaults, which closes with 1009 when a message exceeds 1 MiB."""
    ws = await connect(client.connection["websocket_url"], max_size=1024 * 1024)
    socket = Socket(ws)
    challenge = await socket.receive("challenge")
    await socket.send(type="auth", **client.sign_nonce(challenge["nonce"]))
    await socket.receive("welcome")
    return socket


@pytest.mark.parametrize("over", ["websocket", "rest"])
async def test_largest_accepted_message_is_received_live_and_on_resume(tenant, over):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    name, publisher = channel["channel_id"], await client.connect_websocket()
    live = await connect_with_defaults(client)
    await live.subscribe(channel=name)
    headers = {f"H{number}": '"' * 120 for number in range(32)}

    async def send(size):
        data = "x" * (size - 2)
        if over == "rest":
            body = {"data": data, "headers": headers}
            return (
                (await tenant.http.post(f"/channels/{name}/messages", json=body))
                .json()
                .get("code", "published")
            )
        await publisher.send(type="publish", channel=name, data=data, headers=headers, id=1)
        reply = await publisher.receive_any({"published", "error"}, id=1)
        return reply.get("code", "published")

    assert await send(1_000_001) == "payload_too_large"
    assert await send(1_000_000) == "published"
    replayed = await connect_with_defaults(client)
    await replayed.subscribe(channel=name, since=1)
    for socket in (live, replayed):
        message = await socket.receive("message")
        assert (len(message["data"]), message["headers"]) == (999_998, headers)


async def test_direct_message_that_fits_no_frame_is_reported_and_passed_on_resume(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    name, nc, live = channel["channel_id"], await client.connect_nats(), await connect_with_defaults(client)
    dashboard = await tenant.connect_dashboard()
    await live.subscribe(channel=name)
    await dashboard.send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
    payloads = (b"\xff" * 900_000, b"1" * 1_048_500, b"\xff" * 750_000)
    for payload in payloads:
        await nc.publish(channel["subject"], payload)
    await nc.flush()
    replayed = await connect_with_defaults(client)
    await replayed.subscribe(channel=name, since=1)
    for socket, kind in ((live, "message"), (replayed, "message"), (dashboard, "channel_message")):
        for payload in payloads[:2]:
            error = await socket.receive("error")
            assert (error["code"], error["detail"]["size"]) == ("message_too_large", len(payload))
            assert error["detail"]["channel"] == name
            assert ("seq" in error["detail"]) is (socket is replayed)
        assert len((await socket.receive(kind))["data"]["base64"]) == 1_000_000
    # The stored message can be read over REST.
    page = await tenant.call("GET", f"/channels/{name}/messages", 200, params={"limit": 1})
    assert len(page["messages"][0]["data"]["base64"]) == 1_200_000


async def test_reply_that_fits_no_frame_is_an_error(tenant):
    client = await tenant.create_client()
    nc, socket = await client.connect_nats(), await connect_with_defaults(client)

    async def respond(message):
        await nc.publish(message.reply, b"\xff" * 900_000)

    await nc.subscribe(f"{tenant.id}.ask", cb=respond)
    await nc.flush()
    error = await socket.send_and_receive("request", "error", subject="ask", data=1, id="r")
    assert (error["code"], error["id"]) == ("message_too_large", "r")


async def test_message_near_the_limit_is_delivered_or_rejected(socket_pair):
    """What is accepted is delivered, headers included."""
    socket, other = socket_pair
    await other.subscribe(subject="edge")
    mib = 1024 * 1024
    frame = {"type": "publish", "subject": "edge", "data": "", "headers": {"h": "v" * 500}, "id": "e"}
    empty = len(json.dumps(frame))
    limit = 1_000_000 - 2 + empty
    for size in (*range(limit - 2, limit + 3), mib - 1, mib):
        frame["data"] = "x" * (size - empty)
        text = json.dumps(frame)
        assert len(text) == size
        await socket.ws.send(text)
        reply = await socket.receive_any({"published", "error"}, id="e")
        if reply["type"] == "published":
            assert len((await other.receive("message"))["data"]) == len(frame["data"])
        else:
            assert reply["code"] == "payload_too_large"
            assert size > limit
    await other.assert_no_frame("message")
    assert await socket.send_and_receive("ping", "pong")


async def test_too_large_frame_is_rejected_at_every_endpoint(tenant):
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


async def test_three_consecutive_invalid_json_frames_close_1007(socket_pair):
    socket, _ = socket_pair
    for _ in range(2):
        await socket.ws.send("{nonsense")
        assert (await socket.receive("error"))["code"] == "not_json"
    assert await socket.send_and_receive("ping", "pong")
    for _ in range(3):
        await socket.ws.send(b"\xff\xfe", text=True)
    assert await socket.wait_closed() == (1007, "not_json")


async def test_too_large_upgrade_request_is_rejected(tenant):
    url = f"ws://127.0.0.1:{tenant.stack.ports.api}/ws/dashboard?token={'x' * 20_000}"
    with pytest.raises(InvalidStatus) as raised:
        await connect(url)
    assert raised.value.response.status_code == 431
