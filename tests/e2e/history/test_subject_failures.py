"""Subjects and their streams when the broker or a service fails."""

import asyncio

import pytest
from nats.js.errors import Error as JetStreamError

from support.actors import User
from support.health import wait_until_healthy
from support.history import connect_jetstream, create_subject, stored_messages, stream_holds
from support.problems import assert_rejected
from support.waiting import eventually


@pytest.fixture(scope="module")
async def failing_stack(new_stack):
    """A stack whose servers and services are killed, and that counts closed connections without delay."""
    settings = {"ARTCAFE_SETTLE_AFTER_S": "0.5"}
    async with new_stack(settings) as stack:
        yield stack


@pytest.fixture
async def org(failing_stack):
    return await (await User.sign_up(failing_stack)).create_organization()


async def test_messages_of_the_platform_are_not_counted_as_usage(failing_stack, org):
    for number in range(5):
        await create_subject(org, f"S{number}", f"s{number}.>")
    client = await org.create_client()
    await (await client.connect_websocket()).send_and_receive(
        "publish", "published", subject="s1.a", data=1, id=1
    )

    async def counted():
        return (await org.call("GET", "/usage/current", 200))["messages"]["used"] >= 1

    await eventually(counted)
    # Long enough for the connections of the platform to be counted, if they were.
    await asyncio.sleep(4)
    assert (await org.call("GET", "/usage/current", 200))["messages"]["used"] == 1


async def wait_until_consistent(org, js):
    """Wait until every subject is active and matches its stream, and no stream is left without a subject."""

    async def is_consistent():
        response = await org.http.get("/subjects?limit=200")
        if response.status_code != 200:
            return False
        subjects = response.json()["subjects"]
        try:
            streams = {info.config.name: info.config for info in await js.streams_info()}
        except JetStreamError:
            return False  # identity, which forwards the call, is not back
        if {each["stream"] for each in subjects} != streams.keys() - {"CHANNELS"}:
            return False
        return all(
            each["status"] == "active"
            and f"{org.id}.{each['pattern']}" in streams[each["stream"]].subjects
            and streams[each["stream"]].max_bytes == each["retention"]["max_bytes"]
            for each in subjects
        )

    await eventually(is_consistent, within=60, every=0.2)


@pytest.mark.parametrize("service", ["tenancy", "identity"])
async def test_subjects_and_streams_become_consistent_after_a_service_was_killed(failing_stack, org, service):
    js = await connect_jetstream(org)
    subjects = [await create_subject(org, f"K{n}", f"k{n}.>") for n in range(4)]

    async def change(number):
        path = f"/subjects/{subjects[number % 4]['subject_id']}"
        if number % 3 == 0:
            return await org.http.post(
                "/subjects", json={"name": f"N{number}", "pattern": f"n{number}.>"}, timeout=30
            )
        if number % 3 == 1 or number < 8:
            return await org.http.put(path, json={"retention": {"max_bytes": 10_000 + number}}, timeout=30)
        return await org.http.delete(path, timeout=30)

    for round_ in range(4):
        changes = [asyncio.create_task(change(4 * round_ + n)) for n in range(4)]
        await asyncio.sleep(0.02 * round_)
        failing_stack.supervisor.kill(service)
        for response in await asyncio.gather(*changes):
            # Never an unexpected error.
            assert response.status_code in (200, 201, 404, 409, 503, 504), response.text
        await wait_until_healthy(org)
    await wait_until_consistent(org, js)


async def test_subject_created_without_identity_is_pending_until_it_returns(failing_stack, org):
    js = await connect_jetstream(org)
    existing = await create_subject(org, "Existing", "existing.>")
    await failing_stack.supervisor.stop("identity")
    subject = await org.call("POST", "/subjects", 201, json={"name": "Late", "pattern": "late.>"}, timeout=30)
    assert subject["status"] == "pending"
    # A deleted subject is gone immediately.
    path = f"/subjects/{existing['subject_id']}"
    await org.call("DELETE", path, 200, timeout=30)
    await assert_rejected(org, "GET", path, 404, "subject_not_found")
    failing_stack.start("identity")
    await wait_until_consistent(org, js)
    assert (await org.call("GET", f"/subjects/{subject['subject_id']}", 200))["status"] == "active"


async def test_stored_messages_survive_a_killed_broker(failing_stack, org):
    subject = await create_subject(org)
    client = await org.create_client()
    socket = await client.connect_websocket()
    for number in range(20):
        await socket.send_and_receive("publish", "published", subject="orders.new", data=number, id=number)
    js = await connect_jetstream(org)
    await eventually(lambda: stream_holds(js, subject, 20))
    failing_stack.supervisor.kill("nats")
    await wait_until_healthy(org)
    js = await connect_jetstream(org)
    assert [data for _, data in await stored_messages(js, subject)] == list(range(20))
    await wait_until_consistent(org, js)
