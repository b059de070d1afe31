"""WebSockets over plain ASGI instead of uvicorn's transport, and with few concurrent handshakes."""

import asyncio
import time

import pytest

from artcafe_gateway.wire.asgi import unpack_text_frames
from artcafe_gateway.wire.text_frames import text_frame
from support.actors import User
from support.waiting import eventually


@pytest.fixture(scope="module")
async def asgi_stack(new_stack):
    """Frames are sent through ASGI, and two handshakes run concurrently."""
    settings = {
        "ARTCAFE_WEBSOCKET_TRANSPORT": "asgi",
        "ARTCAFE_HANDSHAKES_AT_ONCE": "2",
        "ARTCAFE_HEARTBEAT_TIMEOUT_S": "120",
    }
    async with new_stack(settings) as stack:
        yield stack


@pytest.fixture
async def org(asgi_stack):
    return await (await User.sign_up(asgi_stack)).create_organization()


def test_joined_frames_are_split_again():
    payloads = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65535, b"e" * 65536]
    assert list(unpack_text_frames(b"".join(map(text_frame, payloads)))) == payloads


async def test_every_subscriber_receives_all_messages_in_order(org):
    client = await org.create_client()
    publisher = await client.connect_websocket()
    subscribers = [await client.connect_websocket() for _ in range(5)]
    dashboard = await org.connect_dashboard()
    await dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    for subscriber in subscribers:
        await subscriber.subscribe(subject="all.*")
    for number in range(300):
        await publisher.send(type="publish", subject="all.x", data=number, id=number)
    for number in range(300):
        await publisher.receive("published", id=number)
    for subscriber in subscribers:
        await eventually(lambda r=subscriber: len(r.pending("message")) == 300)
        assert [frame["data"] for frame in subscriber.pending("message")] == list(range(300))
    assert await dashboard.receive("topic_preview_message")
    await publisher.ws.send("no json")
    assert (await publisher.receive("error"))["code"] == "not_json"
    assert await publisher.send_and_receive("ping", "pong")


async def test_slow_reader_is_disconnected_and_does_not_slow_others(org):
    client = await org.create_client()
    publisher, fast, slow = [await client.connect_websocket() for _ in range(3)]
    for socket in (fast, slow):
        await socket.subscribe(subject="big")
    slow.ws.transport.pause_reading()
    block = "x" * 200_000
    for number in range(100):
        await publisher.send(type="publish", subject="big", data=block, id=number)
        await publisher.receive("published", id=number)
    await eventually(lambda: len(fast.pending("message")) == 100, within=20)
    assert (
        'artcafe_websocket_slow_consumers_total{kind="client"} 1.0' in (await org.http.get("/metrics")).text
    )
    slow.ws.transport.resume_reading()
    code, _ = await slow.wait_closed(10)
    # 1006 if it does not read the close frame in time.
    assert code in (4408, 1006)
    assert await publisher.send_and_receive("ping", "pong")


async def test_revoked_client_is_disconnected(org):
    client = await org.create_client()
    socket = await client.connect_websocket()
    began = time.monotonic()
    await org.call("DELETE", f"/clients/{client.id}", 200)
    assert await socket.wait_closed() == (4403, "deleted")
    print(f"\ndisconnected after {time.monotonic() - began:.2f} s")


async def test_invalid_signature_is_rejected(org):
    client, other = await org.create_client(), await org.create_client()
    client.seed = other.seed
    with pytest.raises(ConnectionError, match="4401"):
        await client.connect_websocket()


async def test_handshakes_beyond_the_concurrency_limit_wait(org):
    clients = [await org.create_client() for _ in range(3)]
    sockets = await asyncio.gather(*(clients[i % 3].connect_websocket() for i in range(90)))
    assert len({socket.welcome["connection_id"] for socket in sockets}) == 90


async def test_unanswered_challenge_does_not_occupy_a_handshake_slot(org):
    client = await org.create_client()
    silent = [await client.connect_unauthenticated() for _ in range(6)]
    assert await (await client.connect_websocket()).send_and_receive("ping", "pong")
    for ws in silent:
        await ws.close()
