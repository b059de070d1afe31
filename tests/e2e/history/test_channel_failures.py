"""Channels over two gateway workers, and when the broker or a service fails."""

import pytest

from support.actors import User
from support.health import wait_until_healthy
from support.history import list_subscribers, publish, read_history
from support.waiting import eventually


@pytest.fixture(scope="module")
async def own_stack(new_stack):
    """A stack with two gateway processes, whose parts are killed."""
    settings = {"ARTCAFE_GATEWAY_WORKERS": "2"}
    async with new_stack(settings) as running:
        yield running


@pytest.fixture
async def org(own_stack):
    return await (await User.sign_up(own_stack)).create_organization()


async def test_every_gateway_process_tells_of_its_own(own_stack, org):
    channel = await org.create_channel()
    agents = [await org.create_client() for _ in range(8)]
    for agent in agents:
        await (await agent.connect_websocket()).subscribe(channel=channel["channel_id"])
    for _ in range(6):
        found = await list_subscribers(org, channel)
        assert [(s["client_id"], s["connections"]) for s in found] == sorted((a.id, 1) for a in agents)


async def test_history_outlives_broker_and_services(own_stack, org):
    channel = await org.create_channel()
    for number, victim in enumerate(("nats", "tenancy", "identity")):
        (accepted,) = await publish(org, channel, number)
        assert "seq" in accepted
        own_stack.supervisor.kill(victim)
        await wait_until_healthy(org)

        async def through(number=number):
            path = f"/channels/{channel['channel_id']}/messages"
            return (await org.http.post(path, json=number + 100)).status_code == 202

        await eventually(through, within=20)
    page = await read_history(org, channel)
    kept = [m["data"] for m in page["messages"]]
    assert [each for each in kept if each < 100] == [0, 1, 2]
    assert {100, 101, 102} <= set(kept)


async def test_a_channel_made_while_identity_is_away_gets_its_history_later(own_stack, org):
    await org.call("GET", "/channels", 200)
    await own_stack.supervisor.stop("identity")
    # Nobody new may come in without identity, but who was there a moment ago may work on.
    answer = await org.http.post("/channels", json={"name": "Late"}, timeout=30)
    own_stack.start("identity")
    await wait_until_healthy(org)
    assert answer.status_code == 201, answer.text
    channel = answer.json()

    async def kept():
        (accepted,) = await publish(org, channel, "now")
        return "seq" in accepted

    await eventually(kept, within=60, every=0.5)
