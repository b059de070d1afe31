"""Subjects: records of patterns whose messages are kept, each with a stream that is in step with it."""

import asyncio
import base64
import json

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from artcafe_common.plans import LIMITS, Plan
from support.actors import User, set_plan
from support.waiting import eventually

GB = 1024**3


async def made(tenant, name="Orders", pattern="orders.>", **fields):
    return await tenant.call("POST", "/subjects", 201, json={"name": name, "pattern": pattern, **fields})


async def refused(tenant, method, path, status, code, **body):
    answer = await tenant.http.request(method, path, json=body or None)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


def user_id_of(person):
    body = person.token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"]


async def stored(js, subject):
    """What a subject's stream holds."""
    info = await js.stream_info(subject["stream"])
    found = []
    for seq in range(info.state.first_seq, info.state.last_seq + 1):
        message = await js.get_msg(subject["stream"], seq)
        found.append((message.subject, json.loads(message.data)))
    return found


async def jetstream(tenant):
    return (await (await tenant.create_client()).connect_nats()).jetstream(timeout=5)


async def test_a_record_through_its_life(tenant):
    subject = await made(
        tenant,
        retention={"max_age_s": 3600, "max_messages": 100, "max_bytes": 1_000_000},
        description="All orders",
        metadata={"team": "sales"},
    )
    assert subject["tenant_id"] == tenant.id
    assert (subject["name"], subject["pattern"]) == ("Orders", "orders.>")
    assert subject["retention"] == {"max_age_s": 3600, "max_messages": 100, "max_bytes": 1_000_000}
    assert subject["status"] == "active"
    assert subject["metadata"] == {"team": "sales"}
    path = f"/subjects/{subject['subject_id']}"
    assert await tenant.call("GET", path, 200) == subject
    assert (await tenant.call("GET", "/subjects/", 200)) == {"subjects": [subject], "next_cursor": None}
    js = await jetstream(tenant)
    config = (await js.stream_info(subject["stream"])).config
    assert set(config.subjects) == {f"{tenant.id}.orders.>", f"tenant.{tenant.id}.orders.>"}
    assert (config.max_age, config.max_msgs, config.max_bytes) == (3600, 100, 1_000_000)
    changed = await tenant.call(
        "PUT", path, 200, json={"name": "Sales", "pattern": "sales.*", "retention": {"max_messages": 7}}
    )
    assert (changed["name"], changed["pattern"], changed["status"]) == ("Sales", "sales.*", "active")
    assert changed["retention"] == {"max_age_s": None, "max_messages": 7, "max_bytes": 64 * 1024**2}
    assert changed["description"] == "All orders"
    assert changed["updated_at"] > subject["updated_at"]
    config = (await js.stream_info(subject["stream"])).config
    assert sorted(config.subjects) == sorted([f"{tenant.id}.sales.*", f"tenant.{tenant.id}.sales.*"])
    assert (config.max_age or 0, config.max_msgs) == (0, 7)
    gone = await tenant.call("DELETE", path, 200)
    assert gone["subject_id"] == subject["subject_id"]
    await refused(tenant, "GET", path, 404, "subject_not_found")
    await refused(tenant, "PUT", path, 404, "subject_not_found", name="x")
    await refused(tenant, "DELETE", path, 404, "subject_not_found")
    assert (await tenant.call("GET", "/subjects", 200))["subjects"] == []
    with pytest.raises(NotFoundError):
        await js.stream_info(subject["stream"])
    # Its name, its pattern and its place are free again.
    await made(tenant, "Sales", "sales.>")


async def test_whoever_publishes_in_whatever_way_it_is_kept(tenant):
    """`x`, `{tid}.x` and `tenant.{tid}.x` are one name; the limits hold."""
    subject = await made(tenant, retention={"max_messages": 4})
    js = await jetstream(tenant)
    agent = await tenant.create_client()
    socket, nc = await agent.connect_websocket(), await agent.connect_nats()
    await socket.send_and_receive("publish", "published", subject="orders.new", data=1, id=1)
    await socket.send_and_receive("publish", "published", subject=f"{tenant.id}.orders.new", data=2, id=2)
    await socket.send_and_receive(
        "publish", "published", subject=f"tenant.{tenant.id}.orders.new", data=3, id=3
    )
    await nc.publish(f"{tenant.id}.orders.old", b"4")
    await nc.publish(f"tenant.{tenant.id}.orders.old", b"5")
    await nc.publish(f"{tenant.id}.others", b"6")
    await nc.flush()

    async def five():
        return (await js.stream_info(subject["stream"])).state.last_seq == 5

    await eventually(five)
    short, full = f"{tenant.id}.orders", f"tenant.{tenant.id}.orders"
    assert await stored(js, subject) == [
        (f"{short}.new", 2),
        (f"{short}.new", 3),
        (f"{short}.old", 4),
        (f"{full}.old", 5),
    ]


async def test_two_patterns_never_overlap(tenant):
    orders = await made(tenant)
    for pattern in (
        "orders.>",
        "orders.new",
        "*.new",
        f"{tenant.id}.orders.*",
        f"tenant.{tenant.id}.orders.x",
    ):
        await refused(tenant, "POST", "/subjects", 409, "subject_overlap", name="Other", pattern=pattern)
    other = await made(tenant, "Bills", "bills.*")
    await made(tenant, "Old habits", f"agents.{tenant.id}.>")
    path = f"/subjects/{other['subject_id']}"
    await refused(tenant, "PUT", path, 409, "subject_overlap", pattern="orders.new.*")
    await refused(tenant, "PUT", path, 409, "name_taken", name="ORDERS")
    await refused(tenant, "POST", "/subjects", 409, "name_taken", name="orders", pattern="else.>")
    assert (await tenant.call("GET", path, 200)) == other
    # Itself is no other.
    await tenant.call("PUT", path, 200, json={"pattern": "bills.>", "name": "BILLS"})
    await tenant.call("DELETE", f"/subjects/{orders['subject_id']}", 200)
    await made(tenant, "Orders", "orders.new")


async def test_of_many_at_once_that_overlap_one_wins(tenant):
    answers = await asyncio.gather(
        *(
            tenant.http.post(
                "/subjects", json={"name": f"rush {n}", "pattern": f"rush.{'*' if n % 2 else 'a'}"}
            )
            for n in range(10)
        )
    )
    assert sorted(a.status_code for a in answers) == [201] + [409] * 9
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"subject_overlap"}
    # Those that do not overlap all win.
    answers = await asyncio.gather(
        *(tenant.http.post("/subjects", json={"name": f"own {n}", "pattern": f"own.{n}"}) for n in range(10))
    )
    assert [a.status_code for a in answers] == [201] * 10
    assert {a.json()["status"] for a in answers} == {"active"}


async def test_patterns_stay_inside_of_the_organization(tenant, other_tenant):
    async def tried(pattern, status, code):
        await refused(tenant, "POST", "/subjects", status, code, name="Bad", pattern=pattern)

    for pattern in ("a..b", "a b", ".a", "a.", "a.>.b", "a*", "a\nb", "tenant." + tenant.id):
        await tried(pattern, 400, "bad_subject")
    await tried("", 400, "invalid_request")
    await tried("x" * 256, 400, "invalid_request")
    for pattern in (
        "$JS.API.>",
        "$SYS.>",
        "_INBOX.>",
        "_heartbeat.>",
        f"_heartbeat.{tenant.id}.x",
        f"tenant.{other_tenant.id}.x",
        f"{other_tenant.id}.x",
        f"agents.{other_tenant.id}.x",
        "tenant.*.x",
        "tenant.>",
        "presence.x",
        f"tenant.{tenant.id}.presence.>",
    ):
        await tried(pattern, 403, "forbidden_subject")
    # What channels carry is theirs.
    for pattern in (">", "*.x", "*.>", f"tenant.{tenant.id}.channel.x", f"tenant.{tenant.id}.>"):
        await tried(pattern, 409, "subject_overlap")
    assert (await tenant.call("GET", "/subjects", 200))["subjects"] == []


async def test_fields_are_checked(tenant):
    async def bad(field, **body):
        answer = await refused(
            tenant, "POST", "/subjects", 400, "invalid_request", **{"name": "A", "pattern": "a.>", **body}
        )
        assert [each["field"] for each in answer["errors"]] == [field]

    await bad("retention.max_age_s", retention={"max_age_s": 0})
    await bad("retention.max_messages", retention={"max_messages": -1})
    await bad("retention.max_bytes", retention={"max_bytes": 1})
    await bad("retention.max_bytes", retention={"max_bytes": "many"})
    await bad("retention", retention={"max_years": 1})
    await bad("name", name="")
    await bad("colour", colour="red")
    await bad("metadata", metadata={"x": "y" * 20_000})
    answer = await tenant.http.post("/subjects", json={"name": "A"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "pattern")


async def test_another_organization_sees_and_changes_nothing(tenant, other_tenant):
    subject = await made(tenant)
    path = f"/subjects/{subject['subject_id']}"
    ghost = "/subjects/01JADAR0000000000000000000"
    for method, body in (("GET", {}), ("PUT", {"name": "Mine"}), ("DELETE", {})):
        theirs = await refused(other_tenant, method, path, 404, "subject_not_found", **body)
        nobodys = await refused(other_tenant, method, ghost, 404, "subject_not_found", **body)
        assert {**theirs, "request_id": ""} == {**nobodys, "request_id": ""}
    assert (await other_tenant.call("GET", "/subjects", 200))["subjects"] == []
    # The same name and pattern are theirs to have, and another stream.
    other = await made(other_tenant)
    assert other["stream"] != subject["stream"]
    agent = await tenant.create_client()
    await (await agent.connect_websocket()).send_and_receive(
        "publish", "published", subject="orders.a", data=1, id=1
    )
    mine, theirs = await jetstream(tenant), await jetstream(other_tenant)
    await eventually(lambda: _count(mine, subject, 1))
    assert (await theirs.stream_info(other["stream"])).state.messages == 0
    assert await tenant.call("GET", path, 200) == subject


async def _count(js, subject, count):
    return (await js.stream_info(subject["stream"])).state.messages == count


async def test_lists_are_paged_and_viewers_only_look(tenant):
    for number in range(5):
        await made(tenant, f"S{number}", f"s{number}.>")
    seen, cursor = [], ""
    while cursor is not None:
        page = await tenant.call("GET", f"/subjects?limit=2{cursor and '&cursor=' + cursor}", 200)
        seen += [each["name"] for each in page["subjects"]]
        cursor = page["next_cursor"]
    assert seen == [f"S{number}" for number in range(5)]
    someone = await User.sign_up(tenant.stack)
    body = {"user_id": user_id_of(someone), "role": "viewer"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
    viewer = someone.http
    subject = (await tenant.call("GET", "/subjects", 200))["subjects"][0]
    path = f"/subjects/{subject['subject_id']}"
    assert (await viewer.get(path)).status_code == 200
    for method, where in (("POST", "/subjects"), ("PUT", path), ("DELETE", path)):
        body = {"name": "V", "pattern": "v.>"} if method == "POST" else {"name": "V"}
        answer = await viewer.request(method, where, json=None if method == "DELETE" else body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_all_streams_fit_into_the_plans_storage(tenant):
    await set_plan(tenant, "free")
    storage = LIMITS[Plan.FREE].storage_bytes
    answer = await refused(
        tenant,
        "POST",
        "/subjects",
        409,
        "plan_limit",
        name="A",
        pattern="a.>",
        retention={"max_bytes": storage + 1},
    )
    assert str(storage) in answer["detail"]
    half = await made(tenant, "A", "a.>", retention={"max_bytes": storage // 2})
    await made(tenant, "B", "b.>", retention={"max_bytes": storage // 2})
    # Not one byte more: neither a new one, nor by the default, nor by growing.
    await refused(tenant, "POST", "/subjects", 409, "plan_limit", name="C", pattern="c.>")
    path = f"/subjects/{half['subject_id']}"
    more = {"max_bytes": storage // 2 + 1}
    await refused(tenant, "PUT", path, 409, "plan_limit", retention=more)
    await tenant.call("PUT", path, 200, json={"retention": {"max_bytes": 4096}})
    await made(tenant, "C", "c.>")
    # A greater plan gives room at once, and what is there already survives a smaller one.
    await set_plan(tenant, "basic")
    large = await made(tenant, "D", "d.>", retention={"max_bytes": 2 * GB})
    await set_plan(tenant, "free")
    path = f"/subjects/{large['subject_id']}"
    assert (await tenant.call("PUT", path, 200, json={"description": "kept"}))["status"] == "active"
    await refused(tenant, "PUT", path, 409, "plan_limit", retention={"max_bytes": 2 * GB + 1})
    await tenant.call("PUT", path, 200, json={"retention": {"max_bytes": 8192}})


async def test_a_stream_that_the_organization_made_itself_is_not_touched(tenant):
    js = await jetstream(tenant)
    await js.add_stream(StreamConfig(name="MINE", subjects=[f"{tenant.id}.mine.>"]))
    await refused(tenant, "POST", "/subjects", 409, "subject_overlap", name="Mine", pattern="mine.>")
    assert (await tenant.call("GET", "/subjects", 200))["subjects"] == []
    other = await made(tenant, "Mine", "yours.>")
    path = f"/subjects/{other['subject_id']}"
    await refused(tenant, "PUT", path, 409, "subject_overlap", pattern="mine.a", name="Still")

    async def as_before():
        now = await tenant.call("GET", path, 200)
        return {**now, "updated_at": ""} == {**other, "updated_at": ""}

    await eventually(as_before)
    config = (await js.stream_info(other["stream"])).config
    assert sorted(config.subjects) == sorted([f"{tenant.id}.yours.>", f"tenant.{tenant.id}.yours.>"])
    await js.delete_stream("MINE")
    await tenant.call("PUT", path, 200, json={"pattern": "mine.a"})


# -- any part may die at any point -------------------------------------------------------------------


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
        await made(org, f"S{number}", f"s{number}.>")
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
    js = await jetstream(org)
    kept = [await made(org, f"K{n}", f"k{n}.>") for n in range(4)]

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
    js = await jetstream(org)
    kept = await made(org, "Kept", "kept.>")
    await own_stack.supervisor.stop("identity")
    subject = await org.call("POST", "/subjects", 201, json={"name": "Late", "pattern": "late.>"}, timeout=30)
    assert subject["status"] == "pending"
    # What was said to be deleted is gone for everybody.
    path = f"/subjects/{kept['subject_id']}"
    await org.call("DELETE", path, 200, timeout=30)
    await refused(org, "GET", path, 404, "subject_not_found")
    own_stack.start("identity")
    await in_step(org, js)
    assert (await org.call("GET", f"/subjects/{subject['subject_id']}", 200))["status"] == "active"


async def test_messages_outlive_the_broker(own_stack, org):
    subject = await made(org)
    agent = await org.create_client()
    socket = await agent.connect_websocket()
    for number in range(20):
        await socket.send_and_receive("publish", "published", subject="orders.new", data=number, id=number)
    js = await jetstream(org)
    await eventually(lambda: _count(js, subject, 20))
    own_stack.supervisor.kill("nats")
    await eventually(lambda: _answers(org), within=30)
    js = await jetstream(org)
    assert [data for _, data in await stored(js, subject)] == list(range(20))
    await in_step(org, js)
