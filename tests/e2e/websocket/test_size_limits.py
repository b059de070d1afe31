"""Frames that are too large or not JSON, and subscribers that do not read."""

import json

import nats.errors
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

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
    assert "artcafe_websocket_slow_consumers_total 1.0" in text
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
    # A slightly smaller frame is delivered.
    third = await (await tenant.create_client()).connect_websocket()
    size = 1024 * 1024 - 200
    await third.send_and_receive("publish", "published", subject="x", data="x" * size, id=1)
    assert len((await other.receive("message"))["data"]) == size


async def test_message_near_the_limit_is_delivered_or_rejected(socket_pair):
    """A frame below the limit can still exceed the broker's limit together with its headers."""
    socket, other = socket_pair
    await other.subscribe(subject="edge")
    mib = 1024 * 1024
    frame = {"type": "publish", "subject": "edge", "data": "", "headers": {"h": "v" * 500}, "id": "e"}
    empty = len(json.dumps(frame))
    for size in (*range(mib - 800, mib, 100), mib - 1, mib):
        frame["data"] = "x" * (size - empty)
        text = json.dumps(frame)
        assert len(text) == size
        await socket.ws.send(text)
        reply = await socket.receive_any({"published", "error"}, id="e")
        if reply["type"] == "published":
            assert len((await other.receive("message"))["data"]) == len(frame["data"])
        else:
            assert reply["code"] == "message_too_large"
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
