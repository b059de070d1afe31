"""A walk through a cluster: two gateways, three nodes, TLS everywhere."""

import asyncio
import contextlib
import json

import httpx
import pytest
from websockets.asyncio.client import connect

from support.actors import Socket, User
from support.cluster_stack import NODES
from support.secure_stack import SecureStack, answers_plaintext
from support.stack import running_stack
from support.waiting import eventually

# Behind nginx, which ends TLS, or asked by the host itself; on loopback. `moto` stands for AWS, which is https.
HTTP_ON_LOOPBACK = {"gateway", "gateway-2", "identity", "tenancy", "presence", "metering", "moto"}


@pytest.fixture(scope="module")
async def secure(tmp_path_factory):
    async with running_stack(tmp_path_factory.mktemp("secure"), kind=SecureStack) as stack:
        await stack.start_second_gateway()
        await eventually(lambda: is_ready(stack.second_api), within=30)
        yield stack


async def is_ready(port):
    with contextlib.suppress(httpx.HTTPError):
        async with httpx.AsyncClient() as http:
            return (await http.get(f"http://127.0.0.1:{port}/api/v1/health/ready")).status_code == 200


async def open_socket(client, port):
    """A client's WebSocket at one of the gateways."""
    path = client.connection["websocket_url"].partition("//")[2].partition("/")[2]
    socket = Socket(await connect(f"ws://127.0.0.1:{port}/{path}", compression=None))
    challenge = await socket.receive("challenge")
    await socket.send(type="auth", **client.sign_nonce(challenge["nonce"]))
    socket.welcome = await socket.receive("welcome")
    return socket


@pytest.mark.timeout(240)
async def test_clients_meet_over_two_gateways_and_three_nodes(secure):
    org = await (await User.sign_up(secure)).create_organization()
    other = await (await User.sign_up(secure)).create_organization("Other")
    channel = await org.create_channel("general")
    spy = await open_socket(await other.create_client(), secure.second_api)
    await spy.subscribe(subject=">")

    # One client at each gateway, and one directly at each node.
    first, second = await org.create_client(), await org.create_client()
    sockets = [await open_socket(first, secure.ports.api), await open_socket(second, secure.second_api)]
    for socket in sockets:
        await socket.subscribe(channel=channel["channel_id"])
    received, direct = asyncio.Queue(), []

    async def record(message):
        await received.put(json.loads(message.data))

    for name in NODES:
        client = await org.create_client()
        nc = await client.connect_nats(servers=secure.node_urls[name], tls=secure.create_tls())
        await nc.subscribe(channel["subject"], cb=record)
        await nc.flush()
        direct.append((client, nc))
    probes = await connect_nodes(org, [nc for _, nc in direct])

    # From each to all.
    for number, nc in enumerate(nc for _, nc in direct):
        await nc.publish(channel["subject"], json.dumps({"node": number}).encode())
        for socket in sockets:
            assert (await socket.receive("message", data={"node": number}))["channel"] == channel[
                "channel_id"
            ]
        assert [await asyncio.wait_for(received.get(), 5) for _ in NODES] == 3 * [{"node": number}]
    for number, socket in enumerate(sockets):
        await socket.send(type="publish", channel=channel["channel_id"], data={"gateway": number}, id="p")
        await socket.receive("published", id="p")
        for each in sockets:
            await each.receive("message", data={"gateway": number})
        assert [await asyncio.wait_for(received.get(), 5) for _ in NODES] == 3 * [{"gateway": number}]

    # History at the other gateway, presence and usage over all.
    async with httpx.AsyncClient(headers=org.http.headers) as http:
        url = f"http://127.0.0.1:{secure.second_api}/api/v1/channels/{channel['channel_id']}/messages"
        page = (await http.get(url)).json()
    assert [message["data"] for message in page["messages"]] == [
        *({"node": number} for number in range(3)),
        *({"gateway": number} for number in range(2)),
    ]
    for client in (first, second, *(client for client, _ in direct)):
        await eventually(lambda client=client: org.is_online(client.id))
    await eventually(lambda: has_used(org, 5 + probes))

    # Revoked at one gateway, closed at the other and at a node.
    await org.call("DELETE", f"/clients/{second.id}", 200)
    await sockets[1].wait_closed(within=2)
    client, nc = direct[2]
    await org.call("DELETE", f"/clients/{client.id}", 200)
    await eventually(lambda: not nc.is_connected, within=2)
    assert [m for m in spy.pending("message") if not m["subject"].startswith("presence.")] == []
    assert org.id not in json.dumps(spy.received)


async def connect_nodes(org, connections):
    """Wait until each node knows the subscriptions at the others; returns the number of messages that it took."""
    subject, seen, sent = f"{org.id}.probe", set(), 0
    for receiver, nc in enumerate(connections):

        async def record(message, receiver=receiver):
            seen.add((receiver, message.data))

        await nc.subscribe(subject, cb=record)
        await nc.flush()

    async def probe():
        nonlocal sent
        for sender, nc in enumerate(connections):
            await nc.publish(subject, str(sender).encode())
            await nc.flush()
            sent += 1
        return len(seen) == len(connections) ** 2

    await eventually(probe)
    return sent


async def has_used(org, messages):
    return (await org.call("GET", "/usage/current", 200))["messages"]["used"] == messages


async def test_no_port_serves_plaintext(secure):
    listeners = secure.list_listeners()
    assert {name for name, _ in listeners.values()} >= {*NODES, *HTTP_ON_LOOPBACK - {"tenancy"}} - {
        "gateway-2"
    }
    monitoring = {config.monitor_port for config in secure.nats_servers()}
    checked = {secure.ports.redis}
    for port, (name, address) in listeners.items():
        if name in HTTP_ON_LOOPBACK or port in monitoring:
            assert address in {"127.0.0.1", "::1"}, (name, address)
        else:
            checked.add(port)
    # Three nodes with a port for clients, WebSockets and routes each, and Redis.
    assert len(checked) == 3 * len(NODES) + 1
    answers = {port: await answers_plaintext(port) for port in checked}
    assert not [answer for answer in answers.values() if b"200" in answer or b"101" in answer], answers
    assert not [answer for answer in answers.values() if b"PONG" in answer or b"+OK" in answer], answers
    # What does not begin with a line of its own has a certificate that clients trust.
    for port in (secure.ports.redis, *(config.websocket_port for config in secure.nats_servers())):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=secure.create_tls())
        writer.close()
