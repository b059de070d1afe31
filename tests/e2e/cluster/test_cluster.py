"""A cluster of three brokers: nothing is plaintext, and the loss of the node that leads loses nothing acknowledged."""

import asyncio
import signal
import ssl
import time

import httpx
import pytest

from support.cli import Terminal
from support.cluster_stack import NODES
from support.raw_nats import RawNats
from support.waiting import eventually

# What a change may take while the stream of events has no leader (it takes milliseconds otherwise).
MAX_WRITE_S = 2.0
OFFLINE_WITHIN_S = 10.0


async def list_leaders(cluster):
    """The leader of each stream and its replicas, by the stream's name, as the nodes that run report them."""
    leaders = {}
    async with httpx.AsyncClient(timeout=3) as http:
        for config in cluster.nats_servers():
            url = f"http://127.0.0.1:{config.monitor_port}/jsz?accounts=1&streams=1&config=1"
            try:
                report = (await http.get(url)).json()
            except httpx.HTTPError:
                continue
            for account in report.get("account_details", []):
                for stream in account.get("stream_detail", []):
                    if leader := stream.get("cluster", {}).get("leader"):
                        leaders[stream["name"]] = (leader, stream["config"]["num_replicas"])
    return leaders


@pytest.mark.timeout(240)
async def test_node_that_leads_is_killed(cluster, org):
    channel = await org.create_channel("news")
    publisher, leaving, staying = [await org.create_client() for _ in range(3)]
    socket = await publisher.connect_websocket()
    leaders = await list_leaders(cluster)
    assert {replicas for _, replicas in leaders.values()} == {3}
    killed = leaders["CHANNELS"][0]
    others = [url for name, url in cluster.node_urls.items() if name != killed]
    gone = await leaving.connect_nats(servers=cluster.node_urls[killed], tls=cluster.create_tls())
    direct = await staying.connect_nats(servers=others, tls=cluster.create_tls())
    await eventually(lambda: org.is_online(leaving.id))

    await cluster.supervisor.stop(killed, how=signal.SIGKILL)
    killed_at = time.monotonic()
    published, refused, slowest = [], [], 0.0
    number = 0
    while time.monotonic() < killed_at + OFFLINE_WITHIN_S:
        began_at = time.monotonic()
        response = await org.http.post("/channels", json={"name": f"channel {number}"})
        slowest = max(slowest, time.monotonic() - began_at)
        assert response.status_code == 201, response.text
        answer = await publish(socket, number)
        (published if answer["type"] == "published" else refused).append((number, answer))
        number += 1
    assert slowest < MAX_WRITE_S
    # The leader's election takes less time than a publish waits.
    assert refused == []
    assert all(answer["seq"] for _, answer in published)
    page = await org.call("GET", f"/channels/{channel['channel_id']}/messages?limit=200", 200)
    assert [message["data"] for message in page["messages"]] == [number for number, _ in published]

    assert not gone.is_connected
    assert not await org.is_online(leaving.id)
    assert direct.is_connected

    # The broker may refuse a new organization's stream until the node is back. Until then nothing is acknowledged.
    newcomer = await org.owner.create_organization("Newcomer")
    early = await newcomer.create_channel()
    path = f"/channels/{early['channel_id']}/messages"
    response = await newcomer.http.post(path, json={"data": "early"})
    kept = ["early"] if response.status_code == 202 else []
    assert response.status_code >= 500 or response.json().get("seq"), response.text

    cluster.start(killed)
    await eventually(lambda: has_caught_up(cluster), within=60)

    async def is_stored():
        answer = await newcomer.http.post(path, json={"data": "late"})
        return answer.status_code == 202 and answer.json()["seq"]

    seq = await eventually(is_stored, within=30)
    messages = (await newcomer.call("GET", path, 200))["messages"]
    assert [message["data"] for message in messages[: len(kept)]] == kept
    assert (messages[-1]["seq"], messages[-1]["data"]) == (seq, "late")


@pytest.mark.timeout(240)
async def test_client_is_revoked_while_the_events_have_no_leader(cluster, org, tmp_path):
    revoked, other = await org.create_client(), await org.create_client()
    operator = Terminal(tmp_path / "operator", **cluster.environ())
    leader = (await list_leaders(cluster))["EVENTS"][0]
    others = [url for name, url in cluster.node_urls.items() if name != leader]
    direct = await revoked.connect_nats(servers=others, tls=cluster.create_tls())
    suspended = await other.connect_nats(servers=others, tls=cluster.create_tls())
    socket = await revoked.connect_websocket()

    await cluster.supervisor.stop(leader, how=signal.SIGKILL)
    # Whoever was connected to it is connected to another one.
    await asyncio.sleep(1)
    began_at = time.monotonic()
    await org.call("DELETE", f"/clients/{revoked.id}", 200)
    answered_after = time.monotonic() - began_at
    await socket.wait_closed(within=2)
    await eventually(lambda: not direct.is_connected, within=2)
    assert answered_after < MAX_WRITE_S
    assert (await operator.run("organization", "suspend", org.id)).code == 0
    await eventually(lambda: not suspended.is_connected, within=2)

    # A gateway that starts meanwhile gets ready.
    cluster.supervisor.kill("gateway")
    await eventually(lambda: is_ready(cluster), within=20)
    cluster.start(leader)
    await eventually(lambda: has_caught_up(cluster), within=60)


async def test_client_without_tls_is_refused(cluster, org):
    client = await org.create_client()
    for config in cluster.nats_servers():
        async with await RawNats.open("127.0.0.1", config.port) as raw:
            with pytest.raises(ConnectionError):
                await raw.log_in()
    direct = await client.connect_nats(tls=cluster.create_tls())
    assert direct.is_connected


async def test_certificate_of_another_authority_is_refused(cluster):
    for config in cluster.nats_servers():
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection(
                "127.0.0.1", config.websocket_port, ssl=ssl.create_default_context()
            )


async def test_routes_and_websockets_answer_no_plaintext(cluster):
    for config in cluster.nats_servers():
        route_port = int(config.cluster.listen.rpartition(":")[2])
        for port in (config.websocket_port, route_port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            assert b"101" not in answer
            assert b"+OK" not in answer


async def publish(socket, number):
    await socket.send(type="publish", channel="news", data=number, id=str(number))
    return await socket.receive_any(["published", "error"], within=10, id=str(number))


async def is_ready(cluster):
    try:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"{cluster.api}/api/v1/health/ready")).status_code == 200
    except httpx.HTTPError:
        return False


async def has_caught_up(cluster):
    """Whether all nodes run, and every replica has what its leader has."""
    async with httpx.AsyncClient(timeout=3) as http:
        for config in cluster.nats_servers():
            try:
                url = f"http://127.0.0.1:{config.monitor_port}/healthz"
                if (await http.get(url)).status_code != 200:
                    return False
            except httpx.HTTPError:
                return False
    return set(NODES) <= set(cluster.supervisor.names)
