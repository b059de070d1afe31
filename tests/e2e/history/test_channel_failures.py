"""Channels over two gateway workers, and when the broker or a service fails."""

import pytest

from support.actors import PASSWORD, User
from support.health import wait_until_healthy
from support.history import list_subscribers, publish, read_history
from support.waiting import eventually


@pytest.fixture(scope="module")
async def failing_stack(new_stack):
    """A stack with two gateway workers, whose servers and services are killed."""
    settings = {"ARTCAFE_GATEWAY_WORKERS": "2"}
    async with new_stack(settings) as stack:
        yield stack


@pytest.fixture
async def org(failing_stack):
    return await (await User.sign_up(failing_stack)).create_organization()


async def test_subscribers_of_every_worker_are_listed(failing_stack, org):
    channel = await org.create_channel()
    clients = [await org.create_client() for _ in range(8)]
    for client in clients:
        await (await client.connect_websocket()).subscribe(channel=channel["channel_id"])
    for _ in range(6):
        found = await list_subscribers(org, channel)
        assert [(s["client_id"], s["connections"]) for s in found] == sorted((a.id, 1) for a in clients)


async def test_history_survives_killed_broker_and_services(failing_stack, org):
    channel = await org.create_channel()
    for number, victim in enumerate(("nats", "tenancy", "identity")):
        (accepted,) = await publish(org, channel, number)
        assert "seq" in accepted
        failing_stack.supervisor.kill(victim)
        await wait_until_healthy(org)

        async def publish_again(number=number):
            path = f"/channels/{channel['channel_id']}/messages"
            return (await org.http.post(path, json=number + 100)).status_code == 202

        await eventually(publish_again, within=20)
    # Health may still be that of before the last kill. A login needs identity.
    credentials = {"email": org.owner.email, "password": PASSWORD}

    async def log_in():
        return (await org.http.post("/auth/login", json=credentials)).status_code == 200

    await eventually(log_in, within=30)
    page = await read_history(org, channel)
    stored = [m["data"] for m in page["messages"]]
    assert [each for each in stored if each < 100] == [0, 1, 2]
    assert {100, 101, 102} <= set(stored)


async def test_channel_created_without_identity_gets_its_history_later(failing_stack, org):
    await org.call("GET", "/channels", 200)
    await failing_stack.supervisor.stop("identity")
    # Without identity, the gateway uses its cached authorization.
    response = await org.http.post("/channels", json={"name": "Late"}, timeout=30)
    failing_stack.start("identity")
    await wait_until_healthy(org)
    assert response.status_code == 201, response.text
    path = f"/channels/{response.json()['channel_id']}/messages"

    async def is_stored():
        # Until the history is there, nothing is published.
        accepted = await org.http.post(path, json="now")
        if accepted.status_code == 503:
            assert accepted.json()["code"] == "stream_unavailable"
            return False
        assert accepted.status_code == 202, accepted.text
        return "seq" in accepted.json()

    await eventually(is_stored, within=60, every=0.5)
