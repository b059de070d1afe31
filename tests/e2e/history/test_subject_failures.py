"""Subjects and their streams when the broker or a service fails."""

import asyncio

import pytest

from support.actors import User
from support.history import connect_jetstream, create_subject, stored_messages, stream_holds
from support.problems import assert_rejected
from support.waiting import eventually


@pytest.fixture(scope="module")
async def own_stack(new_stack):
    """A stack whose parts are killed; that counts what is left of ended connections at once."""
    settings = {"ARTCAFE_SETTLE_AFTER_S": "0.5"}
    async with new_stack(settings) as running:
        yield running


@pytest.fixture
async def org(own_stack):
    return await (await User.sign_up(own_stack)).create_organization()


async def test_the_platforms_own_work_is_nobodys_traffic(own_stack, org):
    for number in range(5):
        await create_subject(org, f"S{number}", f"s{number}.>")
    agent = await org.create_client()
    await (await agent.connect_websocket()).send_and_receive(
        "publish", "published", subject="s1.a", data=1, id=1
    )

    async def counted():
        return (await org.call("GET", "/usage/current", 200))["messages"]["used"] >= 1

    await eventually(counted)
    await asyncio.sleep(4)
    assert (await org.call("GET", "/usage/current", 200))["messages"]["used"] == 1


async def in_step(org, js):
    """Every record active, with its stream as it says; no stream without a record."""

    async def check():
        answer = await org.http.get("/subjects?limit=200")
        if answer.status_code != 200:
            return False
        subjects = answer.json()["subjects"]
        streams = {info.config.name: info.config for info in await js.streams_info()}
        if {each["stream"] for each in subjects} != streams.keys() - {"CHANNELS"}:
            return False
        return all(
            each["status"] == "active"
            and f"{org.id}.{each['pattern']}" in streams[each["stream"]].subjects
            and streams[each["stream"]].max_bytes == each["retention"]["max_bytes"]
            for each in subjects
        )

    await eventually(check, within=60, every=0.2)


@pytest.mark.parametrize("service", ["tenancy", "identity"])
async def test_killed_in_the_middle_record_and_stream_come_into_step_again(own_stack, org, service):
    js = await connect_jetstream(org)
    kept = [await create_subject(org, f"K{n}", f"k{n}.>") for n in range(4)]

    async def change(number):
        path = f"/subjects/{kept[number % 4]['subject_id']}"
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
        own_stack.supervisor.kill(service)
        for answer in await asyncio.gather(*changes):
            # Whatever is said is never a bug's 500, and never half a truth.
            assert answer.status_code in (200, 201, 404, 409, 503, 504), answer.text
        await eventually(lambda: _answers(org), within=30)
    await in_step(org, js)


async def _answers(org):
    report = (await org.http.get("/health")).json()
    return report["status"] == "ok"


async def test_with_identity_away_a_record_is_pending_and_then_active(own_stack, org):
    js = await connect_jetstream(org)
    kept = await create_subject(org, "Kept", "kept.>")
    await own_stack.supervisor.stop("identity")
    subject = await org.call("POST", "/subjects", 201, json={"name": "Late", "pattern": "late.>"}, timeout=30)
    assert subject["status"] == "pending"
    # What was said to be deleted is gone for everybody.
    path = f"/subjects/{kept['subject_id']}"
    await org.call("DELETE", path, 200, timeout=30)
    await assert_rejected(org, "GET", path, 404, "subject_not_found")
    own_stack.start("identity")
    await in_step(org, js)
    assert (await org.call("GET", f"/subjects/{subject['subject_id']}", 200))["status"] == "active"


async def test_messages_outlive_the_broker(own_stack, org):
    subject = await create_subject(org)
    agent = await org.create_client()
    socket = await agent.connect_websocket()
    for number in range(20):
        await socket.send_and_receive("publish", "published", subject="orders.new", data=number, id=number)
    js = await connect_jetstream(org)
    await eventually(lambda: stream_holds(js, subject, 20))
    own_stack.supervisor.kill("nats")
    await eventually(lambda: _answers(org), within=30)
    js = await connect_jetstream(org)
    assert [data for _, data in await stored_messages(js, subject)] == list(range(20))
    await in_step(org, js)
