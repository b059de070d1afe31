"""Search by name, filters of the activity log, the roster, and the messages of a subject."""

import pytest

from support.agents import LegacyAgent
from support.tokens import decode_claims
from support.waiting import eventually, eventually_equals


async def find_names(tenant, path):
    return sorted(each["name"] for each in await tenant.list_items(path))


async def wait_for_names(tenant, path, *names):
    await eventually_equals(lambda: find_names(tenant, path), list(names))


async def test_lists_are_searched_by_part_of_the_name(tenant, other_tenant):
    for name in ("Invoice Reader", "invoice writer", "CAF\u00c9 planner"):
        await tenant.create_client(name)
        await tenant.create_channel(name)
        await LegacyAgent.register(tenant, name=name)
    await other_tenant.create_client("Invoice of another organization")
    for plural in ("clients", "channels", "agents"):
        # A decomposed, lower-case spelling of the same name.
        await wait_for_names(tenant, f"/{plural}?name=cafe%CC%81", "CAF\u00c9 planner")
        await wait_for_names(tenant, f"/{plural}?name=INVOICE", "Invoice Reader", "invoice writer")
        assert await find_names(tenant, f"/{plural}?name=ce%20r") == ["Invoice Reader"]
        assert await find_names(tenant, f"/{plural}?name=nothing") == []
        await tenant.call("GET", f"/{plural}?name=", 400)
    # A renamed client is found by its new name only.
    client = (await tenant.call("GET", "/clients?name=reader", 200))["clients"][0]
    await tenant.call("PUT", f"/clients/{client['client_id']}", 200, json={"name": "Archivist"})
    await wait_for_names(tenant, "/clients?name=archi&status=offline", "Archivist")
    assert await find_names(tenant, "/clients?name=reader") == []
    assert await find_names(tenant, "/clients?name=archi&status=online") == []
    page = await tenant.call("GET", "/clients?name=i&limit=1", 200)
    following = await tenant.call("GET", f"/clients?name=i&limit=1&cursor={page['next_cursor']}", 200)
    assert page["clients"] != following["clients"]


async def test_activity_is_filtered_by_actor_and_resource(tenant):
    first, second = await tenant.create_client(), await tenant.create_client()
    await tenant.call("PUT", f"/clients/{first.id}", 200, json={"metadata": {"a": 1}})
    owner = decode_claims(tenant.owner.token)["sub"]

    async def actions(query):
        return [each["action"] for each in await tenant.list_items(f"/activity/logs?{query}")]

    await eventually_equals(
        lambda: actions(f"resource=client:{first.id}"), ["client.updated", "client.created"]
    )
    assert await actions(f"resource=client:{second.id}&actor=user:{owner}") == ["client.created"]
    assert await actions(f"actor=client:{second.id}") == []
    assert await actions(f"resource=client:{first.id}&type=agent") == []


async def test_roster_shows_clients_and_agents_with_what_they_announced(tenant, other_tenant):
    client, silent = await tenant.create_client("speaker"), await tenant.create_client("silent")
    agent = await LegacyAgent.register(tenant, name="old agent")
    foreign = await other_tenant.create_client("foreign")
    dashboard = await tenant.connect_dashboard()
    socket = await client.connect_websocket()
    shown = await dashboard.receive("presence", client_id=client.id)
    assert (shown["name"], shown["status"], shown["health"]) == ("speaker", "online", "healthy")
    await socket.send(type="presence", status="busy", capabilities=["search"], metadata={"zone": "b"})
    await socket.send_and_receive("ping", "pong")

    async def announced():
        roster = (await tenant.call("GET", "/roster", 200))["roster"]
        return len(roster) == 3 and roster[0]["capabilities"] == ["search"]

    await eventually(announced)
    roster = (await tenant.call("GET", "/roster", 200))["roster"]
    by_name = {each["name"]: each for each in roster}
    assert list(by_name) == ["speaker", "silent", "old agent"]
    speaker = by_name["speaker"]
    assert (speaker["status"], speaker["health"], speaker["metadata"]) == ("online", "healthy", {"zone": "b"})
    assert by_name["silent"]["client_id"] == silent.id
    assert (by_name["silent"]["status"], by_name["silent"]["capabilities"]) == ("offline", None)
    assert (by_name["old agent"]["client_id"], by_name["old agent"]["kind"]) == (agent.id, "agent")
    # Page by page over both kinds.
    paged, cursor = [], ""
    while cursor is not None:
        page = await tenant.call("GET", f"/roster?limit=2{cursor}", 200)
        paged += [each["name"] for each in page["roster"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert paged == list(by_name)
    assert await find_names(tenant, "/roster?name=OLD") == ["old agent"]
    await wait_for_names(tenant, "/roster?status=online", "speaker")
    assert foreign.id not in str(roster)
    await tenant.call("PUT", f"/clients/{client.id}", 200, json={"name": "renamed"})
    await socket.close()
    shown = await dashboard.receive("presence", client_id=client.id, status="offline")
    assert (shown["name"], shown["health"]) == ("renamed", "unknown")


@pytest.mark.parametrize("query", ["", "?limit=2", "?last=3", "?since=1"])
async def test_messages_of_a_subject_are_read_as_those_of_a_channel(tenant, other_tenant, query):
    body = {"name": "Orders", "pattern": "orders.>"}
    subject = await tenant.call("POST", "/subjects", 201, json=body)
    client = await tenant.create_client()
    socket = await client.connect_websocket()
    for number in range(4):
        await socket.send_and_receive(
            "publish",
            "published",
            subject=f"orders.n{number}",
            data=number,
            headers={"Lang": "en"},
            id=number,
        )
    await socket.send_and_receive("publish", "published", subject="other", data="no order", id=9)
    path = f"/subjects/{subject['subject_id']}/messages"

    async def all_stored():
        return len((await tenant.call("GET", path, 200))["messages"]) == 4

    await eventually(all_stored)
    page = await tenant.call("GET", f"{path}{query}", 200)
    messages = page["messages"]
    while page["next_cursor"]:
        page = await tenant.call("GET", f"{path}{query}&cursor={page['next_cursor']}", 200)
        messages += page["messages"]
    expected = [1, 2, 3] if "last" in query else [0, 1, 2, 3]
    assert [each["data"] for each in messages] == expected
    assert messages[-1]["subject"] == f"{tenant.id}.orders.n3"
    assert (messages[-1]["from"], messages[-1]["headers"]) == (client.id, {"Lang": "en"})
    assert "channel" not in messages[-1]
    assert (await other_tenant.call("GET", path, 404))["code"] == "subject_not_found"
