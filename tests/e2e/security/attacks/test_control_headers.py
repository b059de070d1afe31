"""What a publisher or a responder writes into headers is never taken for a message of the broker."""

import pytest

from support.history import publish, read_history

HEADERS = (
    {"Status": "ok"},
    {"Status": "503"},
    {"Status": "404"},
    {"Nats-Sequence": "9", "Nats-Num-Pending": "0"},
)


async def publish_raw(nc, subject, block, data=b"1"):
    """Publish a header block as it is; nats-py would not write it."""
    await nc.flush()
    size = len(block) + len(data)
    await nc._send_command(b"HPUB %b %d %d\r\n%b%b\r\n" % (subject.encode(), len(block), size, block, data))
    await nc._flush_pending(force_flush=True)
    await nc.flush()


@pytest.mark.parametrize("headers", HEADERS)
async def test_headers_of_a_message_do_not_end_the_history(tenant, headers):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    nc, socket = await client.connect_nats(), await client.connect_websocket()
    await publish(tenant, channel, 1)
    await nc.publish(channel["subject"], b"2", headers=headers)
    await nc.flush()
    await publish(tenant, channel, 3)
    assert [message["data"] for message in (await read_history(tenant, channel))["messages"]] == [1, 2, 3]
    await socket.subscribe(channel=channel["channel_id"], since=1)
    assert [(await socket.receive("message"))["data"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("line", [b"NATS/1.0 503", b"NATS/1.0 204 EOB", b"NATS/1.0 404 Message Not Found"])
async def test_status_line_of_a_message_does_not_end_the_history(tenant, line):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    nc, socket = await client.connect_nats(), await client.connect_websocket()
    await publish(tenant, channel, 1)
    await publish_raw(nc, channel["subject"], line + b"\r\n\r\n", b"2")
    await publish(tenant, channel, 3)
    assert [message["data"] for message in (await read_history(tenant, channel))["messages"]] == [1, 2, 3]
    await socket.subscribe(channel=channel["channel_id"], last=3)
    assert [(await socket.receive("message"))["data"] for _ in range(3)] == [1, 2, 3]


async def test_reply_with_a_status_header_is_a_reply(tenant):
    client = await tenant.create_client()
    nc, socket = await client.connect_nats(), await client.connect_websocket()

    async def respond(message):
        await nc.publish(message.reply, b"1", headers={"Status": "503"})

    await nc.subscribe(f"{tenant.id}.ask", cb=respond)
    await nc.flush()
    reply = await socket.send_and_receive("request", "reply", subject="ask", data=0, id="r")
    assert reply["data"] == 1
