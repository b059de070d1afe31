"""Subjects: patterns whose messages the broker stores."""

import asyncio

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from artcafe_common.plans import LIMITS, Plan
from support.actors import User, set_plan
from support.api_examples import UNKNOWN_ID
from support.history import connect_jetstream, create_subject, stored_messages, stream_holds
from support.problems import assert_rejected
from support.tokens import decode_claims
from support.waiting import eventually, eventually_equals

GB = 1024**3


async def test_subject_and_its_stream_are_created_updated_and_deleted(tenant):
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
    await eventually_equals(lambda: tenant.list_items("/subjects/"), [subject])
    assert (await tenant.call("GET", "/subjects/", 200))["next_cursor"] is None
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
    deleted = await tenant.call("DELETE", path, 200)
    assert deleted["subject_id"] == subject["subject_id"]
    await assert_rejected(tenant, "GET", path, 404, "subject_not_found")
    await assert_rejected(tenant, "PUT", path, 404, "subject_not_found", json={"name": "x"})
    await assert_rejected(tenant, "DELETE", path, 404, "subject_not_found")
    await eventually_equals(lambda: tenant.list_items("/subjects"), [])
    with pytest.raises(NotFoundError):
        await js.stream_info(subject["stream"])
    # Its name and pattern can be used again.
    await create_subject(tenant, "Sales", "sales.>")


async def test_messages_of_every_transport_and_spelling_are_stored(tenant):
    """`x`, `{tid}.x` and `tenant.{tid}.x` are one subject; the retention limits apply."""
    subject = await create_subject(tenant, retention={"max_messages": 4})
    js = await connect_jetstream(tenant)
    client = await tenant.create_client()
    socket, nc = await client.connect_websocket(), await client.connect_nats()
    await socket.send_and_receive("publish", "published", subject="orders.new", data=1, id=1)
    await socket.send_and_receive("publish", "published", subject=f"{tenant.id}.orders.new", data=2, id=2)
    await socket.send_and_receive(
        "publish", "published", subject=f"tenant.{tenant.id}.orders.new", data=3, id=3
    )
    await nc.publish(f"{tenant.id}.orders.old", b"4")
    await nc.publish(f"tenant.{tenant.id}.orders.old", b"5")
    await nc.publish(f"{tenant.id}.others", b"6")
    await nc.flush()

    async def five_stored():
        return (await js.stream_info(subject["stream"])).state.last_seq == 5

    await eventually(five_stored)
    short, full = f"{tenant.id}.orders", f"tenant.{tenant.id}.orders"
    assert await stored_messages(js, subject) == [
        (f"{short}.new", 2),
        (f"{short}.new", 3),
        (f"{short}.old", 4),
        (f"{full}.old", 5),
    ]


async def test_overlapping_patterns_are_rejected(tenant):
    orders = await create_subject(tenant)
    for pattern in (
        "orders.>",
        "orders.new",
        "*.new",
        f"{tenant.id}.orders.*",
        f"tenant.{tenant.id}.orders.x",
    ):
        body = {"name": "Other", "pattern": pattern}
        await assert_rejected(tenant, "POST", "/subjects", 409, "subject_overlap", json=body)
    other = await create_subject(tenant, "Bills", "bills.*")
    await create_subject(tenant, "Old habits", f"agents.{tenant.id}.>")
    path = f"/subjects/{other['subject_id']}"
    await assert_rejected(tenant, "PUT", path, 409, "subject_overlap", json={"pattern": "orders.new.*"})
    await assert_rejected(tenant, "PUT", path, 409, "name_taken", json={"name": "ORDERS"})
    await assert_rejected(
        tenant, "POST", "/subjects", 409, "name_taken", json={"name": "orders", "pattern": "else.>"}
    )
    assert (await tenant.call("GET", path, 200)) == other
    # A pattern can overlap its own previous version.
    await tenant.call("PUT", path, 200, json={"pattern": "bills.>", "name": "BILLS"})
    await tenant.call("DELETE", f"/subjects/{orders['subject_id']}", 200)
    await create_subject(tenant, "Orders", "orders.new")


async def test_concurrent_overlapping_patterns_succeed_once(tenant):
    responses = await asyncio.gather(
        *(
            tenant.http.post(
                "/subjects", json={"name": f"rush {n}", "pattern": f"rush.{'*' if n % 2 else 'a'}"}
            )
            for n in range(10)
        )
    )
    assert sorted(a.status_code for a in responses) == [201] + [409] * 9
    assert {a.json()["code"] for a in responses if a.status_code == 409} == {"subject_overlap"}
    # Patterns that do not overlap all succeed.
    responses = await asyncio.gather(
        *(tenant.http.post("/subjects", json={"name": f"own {n}", "pattern": f"own.{n}"}) for n in range(10))
    )
    assert [a.status_code for a in responses] == [201] * 10
    assert {a.json()["status"] for a in responses} == {"active"}


async def test_invalid_and_forbidden_patterns_are_rejected(tenant, other_tenant):
    async def assert_pattern_rejected(pattern, status, code):
        await assert_rejected(
            tenant, "POST", "/subjects", status, code, json={"name": "Bad", "pattern": pattern}
        )

    for pattern in ("a..b", "a b", ".a", "a.", "a.>.b", "a*", "a\nb", "tenant." + tenant.id):
        await assert_pattern_rejected(pattern, 400, "bad_subject")
    await assert_pattern_rejected("", 400, "invalid_request")
    await assert_pattern_rejected("x" * 256, 400, "invalid_request")
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
        await assert_pattern_rejected(pattern, 403, "forbidden_subject")
    # Messages of channels are already stored by the channels' stream.
    for pattern in (">", "*.x", "*.>", f"tenant.{tenant.id}.channel.x", f"tenant.{tenant.id}.>"):
        await assert_pattern_rejected(pattern, 409, "subject_overlap")
    assert (await tenant.call("GET", "/subjects", 200))["subjects"] == []


async def test_invalid_fields_are_named(tenant):
    async def assert_invalid(field, **fields):
        body = {"name": "A", "pattern": "a.>", **fields}
        problem = await assert_rejected(tenant, "POST", "/subjects", 400, "invalid_request", json=body)
        assert [each["field"] for each in problem["errors"]] == [field]

    await assert_invalid("retention.max_age_s", retention={"max_age_s": 0})
    await assert_invalid("retention.max_messages", retention={"max_messages": -1})
    await assert_invalid("retention.max_bytes", retention={"max_bytes": 1})
    await assert_invalid("retention.max_bytes", retention={"max_bytes": "many"})
    await assert_invalid("retention", retention={"max_years": 1})
    await assert_invalid("name", name="")
    await assert_invalid("colour", colour="red")
    await assert_invalid("metadata", metadata={"x": "y" * 20_000})
    response = await tenant.http.post("/subjects", json={"name": "A"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "pattern")


async def test_another_organization_has_no_access_to_subjects(tenant, other_tenant):
    subject = await create_subject(tenant)
    path = f"/subjects/{subject['subject_id']}"
    unknown_path = f"/subjects/{UNKNOWN_ID}"
    for method, body in (("GET", None), ("PUT", {"name": "Mine"}), ("DELETE", None)):
        foreign = await assert_rejected(other_tenant, method, path, 404, "subject_not_found", json=body)
        unknown = await assert_rejected(
            other_tenant, method, unknown_path, 404, "subject_not_found", json=body
        )
        assert {**foreign, "request_id": ""} == {**unknown, "request_id": ""}
    assert (await other_tenant.call("GET", "/subjects", 200))["subjects"] == []
    # It can use the same name and pattern, with a different stream.
    other = await create_subject(other_tenant)
    assert other["stream"] != subject["stream"]
    client = await tenant.create_client()
    await (await client.connect_websocket()).send_and_receive(
        "publish", "published", subject="orders.a", data=1, id=1
    )
    js, other_js = await connect_jetstream(tenant), await connect_jetstream(other_tenant)
    await eventually(lambda: stream_holds(js, subject, 1))
    assert (await other_js.stream_info(other["stream"])).state.messages == 0
    assert await tenant.call("GET", path, 200) == subject


async def test_list_is_paged_and_viewers_can_only_read(tenant):
    for number in range(5):
        await create_subject(tenant, f"S{number}", f"s{number}.>")
    names = [f"S{number}" for number in range(5)]

    async def list_names():
        return [each["name"] for each in await tenant.list_items("/subjects")]

    await eventually_equals(list_names, names)
    listed, cursor = [], ""
    while cursor is not None:
        page = await tenant.call("GET", f"/subjects?limit=2{cursor and '&cursor=' + cursor}", 200)
        listed += [each["name"] for each in page["subjects"]]
        cursor = page["next_cursor"]
    assert listed == names
    viewer = await User.sign_up(tenant.stack)
    body = {"user_id": decode_claims(viewer.token)["sub"], "role": "viewer"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
    subject = (await tenant.call("GET", "/subjects", 200))["subjects"][0]
    path = f"/subjects/{subject['subject_id']}"
    assert (await viewer.http.get(path)).status_code == 200
    for method, target in (("POST", "/subjects"), ("PUT", path), ("DELETE", path)):
        body = {"name": "V", "pattern": "v.>"} if method == "POST" else {"name": "V"}
        response = await viewer.http.request(method, target, json=None if method == "DELETE" else body)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_storage_limit_of_the_plan_applies_to_all_streams(tenant):
    await set_plan(tenant, "free")
    storage = LIMITS[Plan.FREE].storage_bytes
    body = {"name": "A", "pattern": "a.>", "retention": {"max_bytes": storage + 1}}
    problem = await assert_rejected(tenant, "POST", "/subjects", 409, "plan_limit", json=body)
    assert str(storage) in problem["detail"]
    half = await create_subject(tenant, "A", "a.>", retention={"max_bytes": storage // 2})
    await create_subject(tenant, "B", "b.>", retention={"max_bytes": storage // 2})
    # Neither a new subject with the default size, nor a larger size for an existing one.
    await assert_rejected(
        tenant, "POST", "/subjects", 409, "plan_limit", json={"name": "C", "pattern": "c.>"}
    )
    path = f"/subjects/{half['subject_id']}"
    more = {"max_bytes": storage // 2 + 1}
    await assert_rejected(tenant, "PUT", path, 409, "plan_limit", json={"retention": more})
    await tenant.call("PUT", path, 200, json={"retention": {"max_bytes": 4096}})
    await create_subject(tenant, "C", "c.>")
    # A larger plan applies immediately; existing subjects survive a smaller plan.
    await set_plan(tenant, "basic")
    large = await create_subject(tenant, "D", "d.>", retention={"max_bytes": 2 * GB})
    await set_plan(tenant, "free")
    path = f"/subjects/{large['subject_id']}"
    assert (await tenant.call("PUT", path, 200, json={"description": "kept"}))["status"] == "active"
    await assert_rejected(
        tenant, "PUT", path, 409, "plan_limit", json={"retention": {"max_bytes": 2 * GB + 1}}
    )
    await tenant.call("PUT", path, 200, json={"retention": {"max_bytes": 8192}})


async def test_stream_of_the_organization_and_subject_both_store_a_message(tenant):
    nc = await (await tenant.create_client(permissions={"streams": "manage"})).connect_nats()
    own, js = nc.jetstream(), await connect_jetstream(tenant)
    await own.add_stream(StreamConfig(name="MINE", subjects=[f"{tenant.id}.mine.>"]))
    subject = await create_subject(tenant, "Mine", "mine.>")
    await nc.publish(f"{tenant.id}.mine.a", b"1")
    await eventually(lambda: stream_holds(js, subject, 1))
    assert (await own.stream_info("MINE")).state.messages == 1
    await tenant.call("DELETE", f"/subjects/{subject['subject_id']}", 200)
    assert (await own.stream_info("MINE")).state.messages == 1
