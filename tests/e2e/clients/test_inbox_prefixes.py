"""Requests with an inbox prefix of the asker's own choice, answered over WebSocket."""

import asyncio

import pytest

PREFIXES = ("_INBOX", "agents.inbox", "{tid}.inbox", "_INBOX.{cid}")


@pytest.mark.parametrize(
    ("prefix", "narrowed"),
    # A narrowed client may publish on `_INBOX.>` and its patterns, over every transport.
    [*((prefix, narrowed) for prefix in PREFIXES for narrowed in (False, True)), ("_INBOX_me", False)],
)
async def test_websocket_client_answers_on_any_inbox_prefix(tenant, prefix, narrowed):
    asker = await tenant.create_client()
    permissions = (
        {"publish": ["*.inbox.>", "agents.inbox.>", "inbox.>"], "subscribe": ["ask"]} if narrowed else {}
    )
    answerer = await (await tenant.create_client(permissions=permissions)).connect_websocket()
    await answerer.subscribe(subject="ask")
    nc = await asker.connect_nats(inbox_prefix=prefix.format(tid=tenant.id, cid=asker.id).encode())
    for number in range(2):
        reply = asyncio.create_task(nc.request(f"{tenant.id}.ask", b"%d" % number, timeout=5))
        request = await answerer.receive("message", subject="ask")
        assert request["data"] == number
        await answerer.send(type="publish", subject=request["reply"], data=f"answer {number}", id=number)
        await answerer.receive("published", id=number)
        assert (await reply).data == b'"answer %d"' % number


@pytest.mark.parametrize("reply", ["agents.inbox.1", "_INBOX_me.1"])
async def test_answer_outside_of_the_permissions_is_rejected(tenant, reply):
    asker = await tenant.create_client()
    answerer = await tenant.create_client(permissions={"publish": [], "subscribe": ["ask"]})
    socket = await answerer.connect_websocket()
    await socket.subscribe(subject="ask")
    nc = await asker.connect_nats()
    await nc.publish(f"{tenant.id}.ask", b"1", reply=reply)
    request = await socket.receive("message", subject="ask")
    await socket.send(type="publish", subject=request["reply"], data=1, id="a")
    assert (await socket.receive("error", id="a"))["code"] == "forbidden_subject"
