"""Subjects: patterns whose messages the broker stores."""

import asyncio
import base64
import json

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from artcafe_common.plans import LIMITS, Plan
from support.actors import User, set_plan
from support.history import connect_jetstream, create_subject, stored_messages, stream_holds
from support.problems import assert_rejected
from support.waiting import eventually

GB = 1024**3


def user_id_of(person):
    body = person.token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"]


async def test_a_record_through_its_life(tenant):
    subject = await create_subject(
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
    js = await connect_jetstream(tenant)
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
    await assert_rejected(tenant, "GET", path, 404, "subject_not_found")
    await assert_rejected(tenant, "PUT", path, 404, "subject_not_found", name="x")
    await assert_rejected(tenant, "DELETE", path, 404, "subject_not_found")
    assert (await tenant.call("GET", "/subjects", 200))["subjects"] == []
    with pytest.raises(NotFoundError):
        await js.stream_info(subject["stream"])
    # Its name, its pattern and its place are free again.
    await create_subject(tenant, "Sales", "sales.>")


async def test_whoever_publishes_in_whatever_way_it_is_kept(tenant):
    """`x`, `{tid}.x` and `tenant.{tid}.x` are one name; the limits hold."""
    subject = await create_subject(tenant, retention={"max_messages": 4})
    js = await connect_jetstream(tenant)
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
    assert await stored_messages(js, subject) == [
        (f"{short}.new", 2),
        (f"{short}.new", 3),
        (f"{short}.old", 4),
        (f"{full}.old", 5),
    ]


async def test_two_patterns_never_overlap(tenant):
    orders = await create_subject(tenant)
    for pattern in (
        "orders.>",
        "orders.new",
        "*.new",
        f"{tenant.id}.orders.*",
        f"tenant.{tenant.id}.orders.x",
    ):
        await assert_rejected(
            tenant, "POST", "/subjects", 409, "subject_overlap", name="Other", pattern=pattern
        )
    other = await create_subject(tenant, "Bills", "bills.*")
    await create_subject(tenant, "Old habits", f"agents.{tenant.id}.>")
    path = f"/subjects/{other['subject_id']}"
    await assert_rejected(tenant, "PUT", path, 409, "subject_overlap", pattern="orders.new.*")
    await assert_rejected(tenant, "PUT", path, 409, "name_taken", name="ORDERS")
    await assert_rejected(tenant, "POST", "/subjects", 409, "name_taken", name="orders", pattern="else.>")
    assert (await tenant.call("GET", path, 200)) == other
    # Itself is no other.
    await tenant.call("PUT", path, 200, json={"pattern": "bills.>", "name": "BILLS"})
    await tenant.call("DELETE", f"/subjects/{orders['subject_id']}", 200)
    await create_subject(tenant, "Orders", "orders.new")


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
        await assert_rejected(tenant, "POST", "/subjects", status, code, name="Bad", pattern=pattern)

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
        answer = await assert_rejected(
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
    subject = await create_subject(tenant)
    path = f"/subjects/{subject['subject_id']}"
    ghost = "/subjects/01JADAR0000000000000000000"
    for method, body in (("GET", {}), ("PUT", {"name": "Mine"}), ("DELETE", {})):
        theirs = await assert_rejected(other_tenant, method, path, 404, "subject_not_found", **body)
        nobodys = await assert_rejected(other_tenant, method, ghost, 404, "subject_not_found", **body)
        assert {**theirs, "request_id": ""} == {**nobodys, "request_id": ""}
    assert (await other_tenant.call("GET", "/subjects", 200))["subjects"] == []
    # The same name and pattern are theirs to have, and another stream.
    other = await create_subject(other_tenant)
    assert other["stream"] != subject["stream"]
    agent = await tenant.create_client()
    await (await agent.connect_websocket()).send_and_receive(
        "publish", "published", subject="orders.a", data=1, id=1
    )
    mine, theirs = await connect_jetstream(tenant), await connect_jetstream(other_tenant)
    await eventually(lambda: stream_holds(mine, subject, 1))
    assert (await theirs.stream_info(other["stream"])).state.messages == 0
    assert await tenant.call("GET", path, 200) == subject


async def test_lists_are_paged_and_viewers_only_look(tenant):
    for number in range(5):
        await create_subject(tenant, f"S{number}", f"s{number}.>")
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
    answer = await assert_rejected(
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
    half = await create_subject(tenant, "A", "a.>", retention={"max_bytes": storage // 2})
    await create_subject(tenant, "B", "b.>", retention={"max_bytes": storage // 2})
    # Not one byte more: neither a new one, nor by the default, nor by growing.
    await assert_rejected(tenant, "POST", "/subjects", 409, "plan_limit", name="C", pattern="c.>")
    path = f"/subjects/{half['subject_id']}"
    more = {"max_bytes": storage // 2 + 1}
    await assert_rejected(tenant, "PUT", path, 409, "plan_limit", retention=more)
    await tenant.call("PUT", path, 200, json={"retention": {"max_bytes": 4096}})
    await create_subject(tenant, "C", "c.>")
    # A greater plan gives room at once, and what is there already survives a smaller one.
    await set_plan(tenant, "basic")
    large = await create_subject(tenant, "D", "d.>", retention={"max_bytes": 2 * GB})
    await set_plan(tenant, "free")
    path = f"/subjects/{large['subject_id']}"
    assert (await tenant.call("PUT", path, 200, json={"description": "kept"}))["status"] == "active"
    await assert_rejected(tenant, "PUT", path, 409, "plan_limit", retention={"max_bytes": 2 * GB + 1})
    await tenant.call("PUT", path, 200, json={"retention": {"max_bytes": 8192}})


async def test_a_stream_that_the_organization_made_itself_is_not_touched(tenant):
    js = await connect_jetstream(tenant)
    await js.add_stream(StreamConfig(name="MINE", subjects=[f"{tenant.id}.mine.>"]))
    await assert_rejected(tenant, "POST", "/subjects", 409, "subject_overlap", name="Mine", pattern="mine.>")
    assert (await tenant.call("GET", "/subjects", 200))["subjects"] == []
    other = await create_subject(tenant, "Mine", "yours.>")
    path = f"/subjects/{other['subject_id']}"
    await assert_rejected(tenant, "PUT", path, 409, "subject_overlap", pattern="mine.a", name="Still")

    async def as_before():
        now = await tenant.call("GET", path, 200)
        return {**now, "updated_at": ""} == {**other, "updated_at": ""}

    await eventually(as_before)
    config = (await js.stream_info(other["stream"])).config
    assert sorted(config.subjects) == sorted([f"{tenant.id}.yours.>", f"tenant.{tenant.id}.yours.>"])
    await js.delete_stream("MINE")
    await tenant.call("PUT", path, 200, json={"pattern": "mine.a"})
