"""The live connections of an organization over every transport, and ending one."""

import asyncio
import time

import pytest

from support.agents import LegacyAgent
from support.api_examples import UNKNOWN_ID
from support.waiting import eventually


async def list_connections(tenant, query=""):
    return (await tenant.call("GET", f"/connections{query}", 200))["connections"]


@pytest.fixture
async def connected(tenant):
    """A client on two transports and an agent, all of them live."""
    tenant.client, tenant.agent = await tenant.create_client(), await LegacyAgent.register(tenant)
    tenant.socket = await tenant.client.connect_websocket()
    tenant.disconnected = asyncio.Event()

    async def on_disconnected():
        tenant.disconnected.set()

    tenant.nc = await tenant.client.connect_nats(disconnected_cb=on_disconnected)
    tenant.agent_socket = await tenant.agent.connect_websocket()

    async def all_live():
        return len(await list_connections(tenant)) == 3

    await eventually(all_live)
    return tenant


async def test_connections_of_every_transport_are_listed(connected, other_tenant):
    live = await list_connections(connected)
    found = {(each["transport"], each["kind"], each["client_id"]) for each in live}
    client, agent = connected.client.id, connected.agent.id
    assert found == {
        ("websocket", "client", client),
        ("nats", "client", client),
        ("websocket", "agent", agent),
    }
    for each in live:
        assert each["server"]
        assert each["ip"]
        assert each["connected_at"] <= each["last_seen"]
    # Page by page, in the order of the ids.
    paged, cursor = [], ""
    for _ in range(3):
        page = await connected.call("GET", f"/connections?limit=1{cursor}", 200)
        paged += [each["connection_id"] for each in page["connections"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert paged == sorted(each["connection_id"] for each in live)
    of_client = await list_connections(connected, f"?client_id={client}")
    assert {each["transport"] for each in of_client} == {"websocket", "nats"}
    # As the client's own status has them, and the agent's.
    status = await connected.call("GET", f"/clients/{client}/status", 200)
    assert {c["connection_id"] for c in status["connections"]} == {c["connection_id"] for c in of_client}
    status = await connected.call("GET", f"/agents/{agent}/status", 200)
    assert (status["agent_id"], status["status"], status["health"]) == (agent, "online", "healthy")
    assert [each["transport"] for each in status["connections"]] == ["websocket"]
    # Another organization sees none of them, also not by the client's id.
    assert await list_connections(other_tenant) == []
    assert await list_connections(other_tenant, f"?client_id={client}") == []


async def test_connections_of_a_client_are_inspected(connected, other_tenant):
    await connected.socket.subscribe(subject="orders.>")
    await connected.socket.subscribe(subject="jobs", queue="workers")
    await connected.socket.send_and_receive("subscribe", "error", subject="not..good")
    await connected.nc.subscribe(f"{connected.id}.direct")
    await connected.nc.publish(f"{connected.id}.direct", b"12345")
    await connected.nc.flush()
    path = f"/clients/{connected.client.id}/connections"
    found = await connected.call("GET", path, 200)
    assert found["complete"]
    socket, direct = sorted(found["connections"], key=lambda each: each["transport"], reverse=True)
    assert (socket["transport"], direct["transport"]) == ("websocket", "nats")
    for each in (socket, direct):
        assert each["inspected"]
        assert 0 <= each["age_s"] < 60
        assert each["queued_bytes"] == 0
        assert each["client_id"] == connected.client.id
    assert socket["subscriptions"] == ["orders.>", "queue workers subject jobs"]
    assert [each["code"] for each in socket["errors"]] == ["bad_subject"]
    assert 0 <= socket["idle_s"] < 60
    assert direct["subscriptions"] == [f"{connected.id}.direct"]
    assert (direct["messages_in"], direct["bytes_in"], direct["messages_out"]) == (1, 5, 1)
    assert direct["library"].startswith("python")
    await other_tenant.call("GET", path, 404)

    async def counted():
        return (await connected.call("GET", "/usage/refusals", 200))["totals"].get("bad_subject")

    assert await eventually(counted) == 1


async def test_ended_connection_is_gone_when_the_request_is_answered(connected, other_tenant):
    live = await list_connections(connected, f"?client_id={connected.client.id}")
    ids = {each["transport"]: each["connection_id"] for each in live}
    for foreign in (*ids.values(), UNKNOWN_ID):
        error = await other_tenant.call("DELETE", f"/connections/{foreign}", 404)
        assert error["code"] == "connection_not_found"
    started_at = time.monotonic()
    ended = await connected.call("DELETE", f"/connections/{ids['websocket']}", 200)
    assert ended["client_id"] == connected.client.id
    assert await connected.socket.wait_closed() == (1012, "connection_ended")
    await connected.call("DELETE", f"/connections/{ids['nats']}", 200)
    await asyncio.wait_for(connected.disconnected.wait(), 5)
    print(f"\nboth connections ended within {time.monotonic() - started_at:.2f} s")
    remaining = {each["connection_id"] for each in await list_connections(connected)}
    assert remaining.isdisjoint(ids.values())
    await connected.call("DELETE", f"/connections/{ids['websocket']}", 404)
    # The client was not revoked, and others were not ended.
    assert await (await connected.client.connect_websocket()).send_and_receive("ping", "pong")
    assert await connected.agent_socket.send_and_receive("ping", "pong")

    async def recorded():
        log = (await connected.call("GET", "/activity/logs?type=connection&limit=200", 200))["logs"]
        ended = {each["resource"]: each for each in log if each["action"] == "connection.ended"}
        if ended.keys() != {f"connection:{each}" for each in ids.values()}:
            return False
        assert {each["metadata"]["client_id"] for each in ended.values()} == {connected.client.id}
        return all(each["actor"].startswith("user:") for each in ended.values())

    await eventually(recorded)
