"""Nothing that a client is sent widens what it may publish: whoever sets a reply subject gets no rights by it."""

import json

import pytest

from artcafe_common.broker.message_signatures import sign_message
from artcafe_common.broker.nkeys import KeyPair
from support.history import publish, read_history
from support.waiting import QUIET_PERIOD_S

LOOP = {"publish": ["loop"], "subscribe": ["loop"]}


def targets(tenant, channel):
    """Subjects that a client with the permissions LOOP may not publish to."""
    return [
        "$JS.API.STREAM.PURGE.CHANNELS",
        "$JS.API.STREAM.DELETE.CHANNELS",
        channel["subject"],
        f"{tenant.id}.secret",
        "secret",
        f"tenant.{tenant.id}.presence.someone",
        f"_heartbeat.{tenant.id}.someone",
        "_REPUBLISH.x",
        "_INBOX_other.x",
    ]


async def watch(tenant):
    """What a client that may read everything receives, by subject."""
    received = []

    async def record(message):
        # The presence of the clients of the test is the platform's.
        if ".presence.0" not in message.subject:
            received.append(message.subject)

    nc = await (await tenant.create_client()).connect_nats()
    await nc.subscribe(">", cb=record)
    await nc.flush()
    return nc, received


async def test_message_to_oneself_gives_no_rights_over_nats(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, "kept")
    watcher, received = await watch(tenant)
    nc = await (await tenant.create_client(permissions=LOOP)).connect_nats()
    requests = await nc.subscribe(f"{tenant.id}.loop")
    for target in targets(tenant, channel):
        await nc.publish(f"{tenant.id}.loop", b"1", reply=target)
        assert (await requests.next_msg(timeout=2)).reply == target
        await nc.publish(target, b"{}")
        await nc.flush()
    await watcher.flush()
    assert set(received) == {f"{tenant.id}.loop"}
    assert [message["data"] for message in (await read_history(tenant, channel))["messages"]] == ["kept"]


async def test_message_to_oneself_gives_no_rights_over_websocket(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, "kept")
    client = await tenant.create_client(permissions=LOOP)
    nc, socket = await client.connect_nats(), await client.connect_websocket()
    await socket.subscribe(subject="loop")
    watcher, received = await watch(tenant)
    for target in targets(tenant, channel):
        await nc.publish(f"{tenant.id}.loop", b"1", reply=target)
        await socket.receive("message", subject="loop")
        await socket.send(type="publish", subject=target, data={}, id=target)
        assert (await socket.receive("error", id=target))["code"] == "forbidden_subject"
    await watcher.flush()
    assert set(received) == {f"{tenant.id}.loop"}
    assert [message["data"] for message in (await read_history(tenant, channel))["messages"]] == ["kept"]


async def test_reply_subject_of_another_gives_rights_on_inboxes_only(tenant):
    channel = await tenant.create_channel()
    answerer = await (await tenant.create_client(permissions=LOOP)).connect_websocket()
    await answerer.subscribe(subject="loop")
    accomplice, received = await watch(tenant)
    for target in targets(tenant, channel):
        await accomplice.publish(f"{tenant.id}.loop", b"1", reply=target)
        await answerer.receive("message", subject="loop")
        await answerer.send(type="publish", subject=target, data={}, id=target)
        assert (await answerer.receive("error", id=target))["code"] == "forbidden_subject"
    await accomplice.flush()
    assert set(received) == {f"{tenant.id}.loop"}
    await accomplice.publish(f"{tenant.id}.loop", b"1", reply="_INBOX.asked.1")
    request = await answerer.receive("message", subject="loop")
    await answerer.send(type="publish", subject=request["reply"], data={}, id="answer")
    await answerer.receive("published", id="answer")


async def test_answer_over_websocket_may_go_where_it_may_go_over_nats(tenant):
    """Who sent a message without a signature is not known, so its reply subject gives no rights beyond direct NATS."""
    client = await tenant.create_client(permissions=LOOP)
    nc, socket = await client.connect_nats(), await client.connect_websocket()
    await socket.subscribe(subject="loop")
    watcher, received = await watch(tenant)
    for target in ("_INBOX.another.client", "_INBOX_another.client"):
        await nc.publish(target, b"0")
        await nc.flush()
        await watcher.flush()
        may_publish_directly = target in received
        await nc.publish(f"{tenant.id}.loop", b"1", reply=target)
        await socket.receive("message", subject="loop")
        await socket.send(type="publish", subject=target, data=2, id=target)
        answer = await socket.receive_any({"published", "error"}, id=target)
        assert (answer["type"] == "published") is may_publish_directly
    assert "_INBOX.another.client" in received


async def test_signed_message_to_oneself_gives_no_rights_over_websocket(tenant):
    client = await tenant.create_client(permissions=LOOP)
    nc, socket = await client.connect_nats(), await client.connect_websocket()
    await socket.subscribe(subject="loop")
    subject, target = f"{tenant.id}.loop", "_INBOX.another.client"
    signed = sign_message(KeyPair(client.seed), client.id, subject, b"1")
    await nc.publish(subject, b"1", reply=target, headers=signed)
    assert (await socket.receive("message", subject="loop"))["from"] == client.id
    await socket.send(type="publish", subject=target, data=2, id="answer")
    assert (await socket.receive("error", id="answer"))["code"] == "forbidden_subject"


async def test_reply_subject_does_not_redirect_what_its_receiver_publishes(tenant):
    """A reply subject can spell a name: messages to the name still reach its subscribers."""
    victim, listener = [await (await tenant.create_client()).connect_websocket() for _ in range(2)]
    await victim.subscribe(subject="loop")
    await listener.subscribe(subject="orders.new")
    nc = await (await tenant.create_client()).connect_nats()
    await nc.publish(f"{tenant.id}.loop", b"1", reply="orders.new")
    await victim.receive("message", subject="loop")
    await victim.send(type="publish", subject="orders.new", data={"order": 1})
    assert (await listener.receive("message", subject="orders.new"))["data"] == {"order": 1}
    await listener.assert_no_frame("message")


@pytest.mark.parametrize(
    "pattern", ["{tid}.$JS.API.>", "tenant.{tid}._heartbeat.>", "{tid}._INBOX.>", "artcafe.>"]
)
async def test_permission_for_a_subject_of_the_platform_is_rejected(tenant, pattern):
    pattern = pattern.format(tid=tenant.id)
    for field in ("publish", "subscribe"):
        body = {"name": "evil", "permissions": {field: [pattern]}}
        problem = await tenant.call("POST", "/clients", 400, json=body)
        assert problem["code"] == "invalid_permission"
        assert [error["field"] for error in problem["errors"]] == [f"permissions.{field}[0]"]


async def test_name_of_the_platform_is_rejected_over_websocket_and_rest(tenant):
    socket = await (await tenant.create_client()).connect_websocket()
    for kind in ("publish", "request", "subscribe"):
        for prefix in (f"{tenant.id}.", f"tenant.{tenant.id}."):
            frame = {"data": 1} if kind != "subscribe" else {}
            await socket.send(type=kind, subject=f"{prefix}$JS.API.INFO", id=kind, **frame)
            assert (await socket.receive("error", id=kind))["code"] == "forbidden_subject"
    body = {"name": "Evil", "pattern": f"{tenant.id}.$JS.API.>"}
    assert (await tenant.call("POST", "/subjects", 403, json=body))["code"] == "forbidden_subject"


async def test_request_through_the_broker_cannot_be_answered_on_a_stream_of_the_platform(tenant):
    """JetStream answers on any reply subject: only clients that may publish everything may call it."""
    channel = await tenant.create_channel()
    await publish(tenant, channel, "kept")
    for permissions in ({"publish": ["loop"]}, {"subscribe": ["loop"]}, {"streams": "none"}):
        nc = await (await tenant.create_client(permissions=permissions)).connect_nats()
        for api in ("$JS.API.INFO", "$JS.PLATFORM.API.STREAM.INFO.CHANNELS", "$JS.API.DIRECT.GET.CHANNELS"):
            await nc.publish(api, json.dumps({"seq": 1}).encode(), reply=channel["subject"])
        await nc.flush()
    socket = await tenant.connect_dashboard()
    await socket.assert_no_frame("error", for_s=QUIET_PERIOD_S)
    assert [message["data"] for message in (await read_history(tenant, channel))["messages"]] == ["kept"]
