"""The roster over WebSocket, and agent cards."""

from itertools import chain

from artcafe_common.plans import LIMITS, Plan
from support.actors import set_plan
from support.problems import assert_rejected
from support.waiting import eventually

CARD = {
    "name": "Planner",
    "description": "Plans trips.",
    "version": "1.0.0",
    "supportedInterfaces": [
        {"url": "https://planner.example.com", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ],
    "capabilities": {"streaming": True},
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "plan", "name": "Plan", "description": "Plans.", "tags": []}],
    "x-own": 1,
}


async def test_client_sees_who_is_there_page_by_page(tenant):
    clients = [await tenant.create_client(f"client {number}") for number in range(3)]
    socket = await clients[0].connect_websocket()
    await socket.send(type="presence", capabilities=["search"], metadata={"zone": "b"})

    async def read(**fields):
        return await socket.send_and_receive("roster", "roster", id="r", **fields)

    async def find_self():
        entries = (await read())["roster"]
        return next((each for each in entries if each["capabilities"] == ["search"]), None)

    entry = await eventually(find_self)
    assert (entry["client_id"], entry["status"], entry["metadata"]) == (
        clients[0].id,
        "online",
        {"zone": "b"},
    )
    pages, cursor = [], {}
    while cursor is not None:
        page = await read(limit=2, **cursor)
        assert page["id"] == "r"
        pages.append([each["client_id"] for each in page["roster"]])
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert sorted(chain(*pages)) == sorted(client.id for client in clients)
    assert max(map(len, pages)) <= 2
    rest = (await tenant.call("GET", "/roster", 200))["roster"]
    over_socket = (await read())["roster"]
    assert [each["client_id"] for each in over_socket] == [each["client_id"] for each in rest]
    assert over_socket[0].keys() == rest[0].keys()
    assert len((await read(name="client 1"))["roster"]) == 1
    assert {each["client_id"] for each in (await read(status="online"))["roster"]} <= {clients[0].id}
    for wrong in ({"limit": 0}, {"limit": 201}, {"status": "x"}):
        await socket.send(type="roster", id="w", **wrong)
        assert (await socket.receive("error", id="w"))["code"] == "bad_frame"
    await socket.send(type="roster", id="w", cursor="x")
    assert (await socket.receive("error", id="w"))["code"] == "invalid_cursor"


async def test_pages_count_as_calls_of_the_organization(tenant):
    socket = await (await tenant.create_client()).connect_websocket()
    await set_plan(tenant, "free")
    await eventually(lambda: _is_limited(socket))


async def _is_limited(socket):
    calls = LIMITS[Plan.FREE].api_calls_per_minute
    for number in range(calls + 1):
        await socket.send(type="roster", id=number, limit=1)
        answer = await socket.receive_any({"roster", "error"}, id=number)
        if answer["type"] == "error":
            return answer["code"] == "rate_limited" and answer["retry_after_ms"] > 0
    return False


async def test_agent_card_is_served_as_it_was_stored(tenant):
    client = await tenant.create_client(metadata={"agent_card": CARD})
    path = f"/clients/{client.id}"
    assert await tenant.call("GET", f"{path}/agent-card", 200) == CARD
    bad = {"metadata": {"agent_card": {**CARD, "skills": 1}}}
    problem = await assert_rejected(tenant, "PUT", path, 400, "invalid_request", json=bad)
    assert problem["errors"][0]["field"] == "metadata.agent_card.skills"
    await assert_rejected(tenant, "POST", "/clients", 400, "invalid_request", json={"name": "x", **bad})
    await tenant.call("PUT", path, 200, json={"metadata": {}})
    await assert_rejected(tenant, "GET", f"{path}/agent-card", 404, "agent_card_not_found")
    await assert_rejected(tenant, "GET", "/clients/x/agent-card", 404, "client_not_found")
