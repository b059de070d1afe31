"""The gateway where the server does not lend its transport, and behind a narrow door."""

import asyncio
import time

import pytest

from artcafe_gateway.wire.asgi import unpack_text_frames
from artcafe_gateway.wire.transport import text_frame
from support.actors import User
from support.waiting import eventually


@pytest.fixture(scope="module")
async def plain(new_stack):
    """Any ASGI server's way to send, and two handshakes at once."""
    settings = {
        "ARTCAFE_WEBSOCKET_TRANSPORT": "asgi",
        "ARTCAFE_HANDSHAKES_AT_ONCE": "2",
        "ARTCAFE_HEARTBEAT_TIMEOUT_S": "120",
    }
    async with new_stack(settings) as running:
        yield running


@pytest.fixture
async def org(plain):
    return await (await User.sign_up(plain)).create_organization()


def test_joined_frames_come_apart_again():
    payloads = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65535, b"e" * 65536]
    assert list(unpack_text_frames(b"".join(map(text_frame, payloads)))) == payloads


async def test_everybody_gets_everything_in_order(org):
    agent = await org.create_client()
    publisher = await agent.connect_websocket()
    readers = [await agent.connect_websocket() for _ in range(5)]
    board = await org.connect_dashboard()
    await board.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    for reader in readers:
        await reader.subscribe(subject="all.*")
    for number in range(300):
        await publisher.send(type="publish", subject="all.x", data=number, id=number)
    for number in range(300):
        await publisher.receive("published", id=number)
    for reader in readers:
        await eventually(lambda r=reader: len(r.pending("message")) == 300)
        assert [frame["data"] for frame in reader.pending("message")] == list(range(300))
    assert await board.receive("topic_preview_message")
    await publisher.ws.send("no json")
    assert (await publisher.receive("error"))["code"] == "not_json"
    assert await publisher.send_and_receive("ping", "pong")


async def test_a_slow_reader_is_cut_and_slows_nobody(org):
    agent = await org.create_client()
    publisher, fast, slow = [await agent.connect_websocket() for _ in range(3)]
    for socket in (fast, slow):
        await socket.subscribe(subject="big")
    slow.ws.transport.pause_reading()
    block = "x" * 200_000
    for number in range(100):
        await publisher.send(type="publish", subject="big", data=block, id=number)
        await publisher.receive("published", id=number)
    await eventually(lambda: len(fast.pending("message")) == 100, within=20)
    assert "artcafe_websocket_slow_consumers_total 1.0" in (await org.http.get("/metrics")).text
    slow.ws.transport.resume_reading()
    code, _ = await slow.wait_closed(10)
    assert code in (4408, 1006)  # dropped outright when it does not even read the close frame
    assert await publisher.send_and_receive("ping", "pong")


async def test_a_revoked_client_is_told_and_cut(org):
    agent = await org.create_client()
    socket = await agent.connect_websocket()
    began = time.monotonic()
    await org.call("DELETE", f"/clients/{agent.id}", 200)
    assert await socket.wait_closed() == (4403, "deleted")
    print(f"\ncut after {time.monotonic() - began:.2f} s")


async def test_a_wrong_proof_is_refused(org):
    agent, other = await org.create_client(), await org.create_client()
    agent.seed = other.seed
    with pytest.raises(ConnectionError, match="4401"):
        await agent.connect_websocket()


async def test_more_than_the_door_lets_in_at_once_all_come_in(org):
    agents = [await org.create_client() for _ in range(3)]
    sockets = await asyncio.gather(*(agents[i % 3].connect_websocket() for i in range(90)))
    assert len({socket.welcome["connection_id"] for socket in sockets}) == 90


async def test_who_does_not_answer_the_challenge_holds_no_place_at_the_door(org):
    agent = await org.create_client()
    silent = [await agent.connect_unauthenticated() for _ in range(6)]
    assert await (await agent.connect_websocket()).send_and_receive("ping", "pong")
    for ws in silent:
        await ws.close()
