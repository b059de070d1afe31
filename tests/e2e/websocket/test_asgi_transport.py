"""The gateway where the server does not lend its transport, and behind a narrow door."""

import asyncio
import time

import pytest

from artcafe_common.dev.stack import Stack
from artcafe_gateway.wire.asgi import texts
from artcafe_gateway.wire.transport import frame
from support.stack import free_ports
from support.actors import Person, eventually


@pytest.fixture(scope="module")
async def plain(tmp_path_factory):
    """Any ASGI server's way to send, and two handshakes at once."""
    settings = {
        "ARTCAFE_WEBSOCKET_TRANSPORT": "asgi",
        "ARTCAFE_HANDSHAKES_AT_ONCE": "2",
        "ARTCAFE_HEARTBEAT_TIMEOUT_S": "120",
    }
    running = Stack(tmp_path_factory.mktemp("plain"), free_ports(), settings=settings)
    try:
        await running.up()
        yield running
    finally:
        await running.down()


@pytest.fixture
async def org(plain):
    return await (await Person.sign_up(plain)).found()


def test_joined_frames_come_apart_again():
    payloads = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65535, b"e" * 65536]
    assert list(texts(b"".join(map(frame, payloads)))) == payloads


async def test_everybody_gets_everything_in_order(org):
    agent = await org.client()
    publisher = await agent.websocket()
    readers = [await agent.websocket() for _ in range(5)]
    board = await org.dashboard()
    await board.ask("subscribe_topic_preview", "subscription_confirmed")
    for reader in readers:
        await reader.subscribe(subject="all.*")
    for number in range(300):
        await publisher.send(type="publish", subject="all.x", data=number, id=number)
    for number in range(300):
        await publisher.take("published", id=number)
    for reader in readers:
        await eventually(lambda r=reader: len(r.frames("message")) == 300)
        assert [frame["data"] for frame in reader.frames("message")] == list(range(300))
    assert await board.take("topic_preview_message")
    await publisher.ws.send("no json")
    assert (await publisher.take("error"))["code"] == "not_json"
    assert await publisher.ask("ping", "pong")


async def test_a_slow_reader_is_cut_and_slows_nobody(org):
    agent = await org.client()
    publisher, fast, slow = [await agent.websocket() for _ in range(3)]
    for socket in (fast, slow):
        await socket.subscribe(subject="big")
    slow.ws.transport.pause_reading()
    block = "x" * 200_000
    for number in range(100):
        await publisher.send(type="publish", subject="big", data=block, id=number)
        await publisher.take("published", id=number)
    await eventually(lambda: len(fast.frames("message")) == 100, within=20)
    assert "artcafe_websocket_slow_consumers_total 1.0" in (await org.http.get("/metrics")).text
    slow.ws.transport.resume_reading()
    code, _ = await slow.ended(10)
    assert code in (4408, 1006)  # dropped outright when it does not even read the close frame
    assert await publisher.ask("ping", "pong")


async def test_a_revoked_client_is_told_and_cut(org):
    agent = await org.client()
    socket = await agent.websocket()
    began = time.monotonic()
    await org.call("DELETE", f"/clients/{agent.id}", 200)
    assert await socket.ended() == (4403, "deleted")
    print(f"\ncut after {time.monotonic() - began:.2f} s")


async def test_a_wrong_proof_is_refused(org):
    agent, other = await org.client(), await org.client()
    agent.seed = other.seed
    with pytest.raises(ConnectionError, match="4401"):
        await agent.websocket()


async def test_more_than_the_door_lets_in_at_once_all_come_in(org):
    agents = [await org.client() for _ in range(3)]
    sockets = await asyncio.gather(*(agents[i % 3].websocket() for i in range(90)))
    assert len({socket.welcome["connection_id"] for socket in sockets}) == 90


async def test_who_does_not_answer_the_challenge_holds_no_place_at_the_door(org):
    agent = await org.client()
    silent = [await agent.challenged() for _ in range(6)]
    assert await (await agent.websocket()).ask("ping", "pong")
    for ws in silent:
        await ws.close()
