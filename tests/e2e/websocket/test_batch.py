"""The subprotocol in which a frame has several messages."""

import json

import pytest

from support.actors import BATCH
from support.hostile_peer import MIB
from support.waiting import eventually


@pytest.fixture
async def batch_pair(tenant):
    """Two clients' sockets with the subprotocol."""
    one, other = await tenant.create_client(), await tenant.create_client()
    return [await each.connect_websocket(subprotocols=[BATCH]) for each in (one, other)]


def publish(number, **fields):
    return {"type": "publish", "subject": "b.x", "data": {"n": number}, **fields}


async def numbers_of(socket, count):
    await eventually(lambda: len(socket.pending("message")) >= count, within=10)
    return [message["data"]["n"] for message in socket.drain("message")]


async def test_messages_of_one_frame_are_handled_in_order(batch_pair):
    sender, receiver = batch_pair
    assert sender.ws.subprotocol == BATCH
    await receiver.subscribe(subject="b.*")
    before = receiver.frame_count
    await sender.send_lines(*(publish(n) for n in range(300)))
    assert await numbers_of(receiver, 300) == list(range(300))
    assert receiver.frame_count - before < 100


async def test_each_line_has_its_own_answer(batch_pair):
    sender, receiver = batch_pair
    await receiver.subscribe(subject="b.*")
    lines = [
        json.dumps(publish(1, id=1)),
        "",
        json.dumps({"type": "ping"}),
        "no json",
        json.dumps({"type": "nonsense", "id": 2}),
        json.dumps(publish(3, id=3, subject="$SYS.x")),
        json.dumps(publish(4, id="four")),
        "",
    ]
    await sender.ws.send("\n".join(lines))
    assert (await sender.receive("published", id="four"))["id"] == "four"
    assert await numbers_of(receiver, 2) == [1, 4]
    errors = [(each["code"], each.get("id")) for each in sender.pending("error")]
    assert errors == [("not_json", None), ("unknown_type", 2), ("forbidden_subject", 3)]
    assert sender.pending("pong")
    assert sender.pending("published")[0]["id"] == 1


async def test_large_frame_of_many_lines_is_handled(batch_pair):
    sender, receiver = batch_pair
    await receiver.subscribe(subject="b.*")
    padding = "x" * 2_000
    lines = [json.dumps({**publish(n), "data": {"n": n, "p": padding}}) for n in range(400)]
    assert 16 * 1024 < len("\n".join(lines)) < MIB
    await sender.ws.send("\n".join(lines))
    assert await numbers_of(receiver, 400) == list(range(400))


async def test_line_breaks_in_the_data_of_others_do_not_end_a_line(tenant, batch_pair):
    _, receiver = batch_pair
    await receiver.subscribe(subject="b.*")
    plain = await (await tenant.create_client()).connect_websocket()
    assert plain.ws.subprotocol is None
    await plain.ws.send('{"type":"publish","subject":"b.x","data":{\n"n":1,\n"text":"a\\nb"}}')
    direct = await (await tenant.create_client()).connect_nats()
    await direct.publish(f"{tenant.id}.b.x", b'{\n"n":2, "text":"a\\nb"}')
    await direct.flush()
    await eventually(lambda: len(receiver.pending("message")) == 2)
    assert sorted(message["data"]["n"] for message in receiver.pending("message")) == [1, 2]
    assert {message["data"]["text"] for message in receiver.pending("message")} == {"a\nb"}


async def test_request_and_reply(batch_pair):
    requester, responder = batch_pair
    await responder.subscribe(subject="sum")
    await requester.send(type="request", subject="sum", data=[1, 2], id="q")
    request = await responder.receive("message")
    await responder.ws.send(
        '{{"type":"publish","subject":"{}","data":{{ "sum": 3 }}}}'.format(request["reply"])
    )
    assert (await requester.receive("reply", id="q"))["data"] == {"sum": 3}
