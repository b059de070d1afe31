"""Server-sent events of a channel: resume, gaps, slow readers, revocation, limits."""

import asyncio
import os
import signal
import socket
import time

import httpx
import pytest

from artcafe_common.contracts.tenancy.history import MESSAGES_PER_CHANNEL
from support.actors import set_plan
from support.client_tokens import connect_rest
from support.health import is_ready
from support.history import publish, wait_until_stored
from support.problems import assert_problem
from support.sse import follow
from support.waiting import eventually


async def test_client_follows_a_channel_and_resumes(tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    client = await tenant.create_client()
    http = await connect_rest(client)
    await publish(tenant, channel, "before")
    stream = await follow(http, channel)
    await publish(tenant, other, "elsewhere")
    first, second = [
        each["seq"] for each in await publish(tenant, channel, 1, {"data": 2, "headers": {"Lang": "en"}})
    ]
    await stream.wait_for(1, 2)
    one, two = stream.named("message")
    assert (one["seq"], two["seq"], two["headers"]) == (first, second, {"Lang": "en"})
    assert stream.last_id == str(second)
    await stream.close()
    # What came meanwhile follows the last event, and what was received does not come again.
    await publish(tenant, channel, 3)
    resumed = await follow(http, channel, last_id=stream.last_id, last=10)
    await resumed.wait_for(3)
    await publish(tenant, channel, 4)
    await resumed.wait_for(3, 4)
    # A client that has received nothing yet resumes where it began.
    silent = await follow(http, channel)
    await silent.close()
    await publish(tenant, channel, 5)
    await (await follow(http, channel, last_id=silent.last_id)).wait_for(5)
    await (await follow(http, channel, since=first)).wait_for(1, 2, 3, 4, 5)
    await (await follow(http, channel, last=2)).wait_for(4, 5)
    for query, headers in (
        ({"since": "x"}, {}),
        ({"last": -1}, {}),
        ({"x": 1}, {}),
        ({}, {"Last-Event-ID": "x"}),
    ):
        path = f"/channels/{channel['channel_id']}/events"
        assert_problem(await http.get(path, params=query, headers=headers), 400, "invalid_request")
    # HEAD does not follow.
    assert (await http.head(f"/channels/{channel['channel_id']}/events")).status_code == 200


async def test_person_follows_a_channel_without_being_billed(tenant):
    channel = await tenant.create_channel()
    stream = await follow(tenant.http, channel)
    await publish(tenant, channel, 1, 2)
    await stream.wait_for(1, 2)

    async def counted():
        today = (await tenant.call("GET", "/usage/local/stats", 200))["today"]
        return (today["messages"], today["deliveries"]) == (2, 0)

    await eventually(counted)


async def test_gap_is_told_once(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    (first,) = [each["seq"] for each in await publish(tenant, channel, 0)]
    nc = await client.connect_nats()
    for number in range(1, MESSAGES_PER_CHANNEL + 1):
        await nc.publish(channel["subject"], b"%d" % number)
    await wait_until_stored(tenant, channel, MESSAGES_PER_CHANNEL)
    http = await connect_rest(client)
    stream = await follow(http, channel, since=first)
    await eventually(lambda: stream.received)
    (gap,) = stream.named("gap")
    assert (gap["from_seq"], gap["to_seq"]) == (first, first)
    assert [name for name, _, _ in stream.events][:3] == ["subscribed", "gap", "message"]
    assert stream.received[0] == 1
    # Whoever has been told is not told again.
    gap_id = next(event_id for name, event_id, _ in stream.events if name == "gap")
    again = await follow(http, channel, last_id=gap_id)
    await eventually(lambda: again.received)
    assert (again.named("gap"), again.received[0]) == ([], 1)


@pytest.mark.parametrize("reason", ["deleted", "suspended", "key_regenerated"])
async def test_revoked_client_is_ended_within_a_second(tenant, reason):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    stream = await follow(await connect_rest(client), channel)
    path = f"/clients/{client.id}"
    began = time.perf_counter()
    if reason == "deleted":
        await tenant.call("DELETE", path, 200)
    elif reason == "suspended":
        await tenant.call("PUT", path, 200, json={"status": "suspended"})
    else:
        await tenant.call("POST", f"{path}/regenerate-nkey", 200)
    assert await stream.wait_ended(1) == reason
    assert time.perf_counter() - began < 1


async def test_token_scope_and_lifetime_end_the_stream(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    other = await tenant.create_channel()
    http = await connect_rest(client, scope={"subscribe": [channel["subject"]]}, ttl_s=2)
    stream = await follow(http, channel)
    response = await http.get(f"/channels/{other['channel_id']}/events")
    assert_problem(response, 403, "forbidden_subject")
    assert await stream.wait_ended(4) == "token_expired"


async def test_follower_is_online_and_counts_as_a_connection(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    stream = await follow(await connect_rest(client), channel)

    async def read_status():
        return await tenant.call("GET", f"/clients/{client.id}/status", 200)

    async def is_online():
        status = await read_status()
        return status["status"] == "online" and len(status["connections"]) == 1

    await eventually(is_online)
    (connection,) = await tenant.list_items("/connections")
    await tenant.call("DELETE", f"/connections/{connection['connection_id']}", 200)
    assert await stream.wait_ended(2) is not None

    async def is_offline():
        return (await read_status())["status"] == "offline"

    await eventually(is_offline)


async def test_reader_that_does_not_read_is_ended_and_slows_nobody(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    reader = await follow(await connect_rest(client), channel)
    slow = await connect_rest(client)
    host, port = slow.base_url.host, slow.base_url.port
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)  # noqa: FBT003 - as socket names it
    await asyncio.get_running_loop().sock_connect(raw, (host, port))
    stuck_reader, stuck_writer = await asyncio.open_connection(sock=raw, limit=1024)
    stuck_writer.write(
        f"GET /api/v1/channels/{channel['channel_id']}/events HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: {slow.headers['Authorization']}\r\n\r\n".encode()
    )
    assert b"200 OK" in await stuck_reader.readline()
    nc = await client.connect_nats()
    for number in range(80):
        await nc.publish(channel["subject"], b'{"n":%d,"fill":"%s"}' % (number, b"x" * 250_000))
        # On a busy machine, the reader that reads would be too slow as well.
        await eventually(
            lambda number=number: len(reader.named("message")) > number - 8, within=30, every=0.01
        )
    await eventually(lambda: len(reader.named("message")) == 80, within=30, every=0.5)

    async def is_slow_consumer():
        metrics = (await tenant.http.get(str(tenant.stack.api) + "/metrics")).text
        return any(
            line.startswith("artcafe_websocket_slow_consumers_total") and float(line.split()[-1]) > 0
            for line in metrics.splitlines()
        )

    await eventually(is_slow_consumer)
    # The rest of what was sent can be read; then the connection is over.
    text = b""
    while chunk := await asyncio.wait_for(stuck_reader.read(1_000_000), 10):
        text = (text + chunk)[-1000:]
    stuck_writer.close()


async def test_page_waits_for_a_message(tenant):
    channel = await tenant.create_channel()
    path = f"/channels/{channel['channel_id']}/messages"
    (seq,) = [each["seq"] for each in await publish(tenant, channel, 0)]
    waiting = asyncio.create_task(tenant.call("GET", path, 200, params={"since": seq + 1, "wait_s": 20}))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await publish(tenant, channel, 1)
    page = await asyncio.wait_for(waiting, 2)
    assert [each["data"] for each in page["messages"]] == [1]
    # What is stored does not wait, and nothing comes after the time.
    assert len((await tenant.call("GET", path, 200, params={"since": seq, "wait_s": 20}))["messages"]) == 2
    began = time.perf_counter()
    page = await tenant.call("GET", path, 200, params={"since": seq + 2, "wait_s": 1})
    assert (page["messages"], page["next_cursor"]) == ([], None)
    assert 0.9 < time.perf_counter() - began < 3
    for wrong in (31, -1, "x"):
        await tenant.call("GET", path, 400, params={"wait_s": wrong})


async def test_stopping_gateway_tells_when_to_come_back(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    http = await connect_rest(client)
    stream = await follow(http, channel)
    path = f"/channels/{channel['channel_id']}/messages"
    waiting = asyncio.create_task(http.get(path, params={"since": 1, "wait_s": 30}))
    await asyncio.sleep(0.2)
    os.kill(tenant.stack.supervisor.pid("gateway"), signal.SIGTERM)
    assert await stream.wait_ended(5) == "restarting"
    assert b"retry: " in stream.raw
    # A page that waits is answered with what there is.
    response = await asyncio.wait_for(waiting, 5)
    assert (response.status_code, response.json()["messages"]) == (200, [])
    await eventually(lambda: is_ready(tenant), within=30)


async def test_connections_of_the_plan_are_those_of_streams_too(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    await set_plan(tenant, "free")
    http = await connect_rest(client)
    streams = [await follow(http, channel) for _ in range(4)]
    await client.connect_websocket()

    async def is_refused():
        response = await http.send(
            http.build_request("GET", f"/channels/{channel['channel_id']}/events"), stream=True
        )
        body = await response.aread() if response.status_code != 200 else b""
        await response.aclose()
        return response.status_code == 409 and b"plan_limit" in body

    await eventually(is_refused)
    await streams[0].close()

    async def is_open_again():
        try:
            await follow(http, channel)
        except (AssertionError, httpx.HTTPError):
            return False
        return True

    await eventually(is_open_again)
