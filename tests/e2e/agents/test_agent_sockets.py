"""WebSockets of legacy agents: messages, presence, revocation and isolation."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from support.agents import LegacyAgent, list_ids, to_openssh, to_pem
from support.api_examples import UNKNOWN_ID
from support.problems import without_request_id
from support.waiting import eventually, eventually_equals

UNAUTHENTICATED = "4401"


async def test_sockets_of_one_agent_are_independent_across_reconnects(tenant):
    agent = await LegacyAgent.register(tenant)
    publisher = await (await tenant.create_client()).connect_websocket()
    sockets = []
    for number in range(10):
        sockets.append(await agent.connect_websocket())
        await sockets[-1].subscribe(subject="again")
        if len(sockets) > 2:
            oldest = sockets.pop(0)
            if number % 2:
                await oldest.close()
            else:
                oldest.ws.transport.abort()
        await publisher.send_and_receive("publish", "published", subject="again", data=number, id=number)
        for socket in sockets:
            assert (await socket.receive("message"))["data"] == number


@pytest.mark.parametrize("reason", ["deleted", "suspended", "key_regenerated"])
async def test_revoked_agent_is_disconnected(tenant, reason):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    token = await agent.request_token()
    sockets = [
        await agent.connect_websocket(),
        await agent.connect_websocket(headers={"Authorization": f"Bearer {token}"}),
    ]
    bystander = await other.connect_websocket()
    path = f"/agents/{agent.id}"
    if reason == "deleted":
        await tenant.call("DELETE", path, 200)
    elif reason == "suspended":
        assert (await tenant.call("PUT", path, 200, json={"status": "suspended"}))["status"] == "suspended"
    else:
        new = to_openssh(ed25519.Ed25519PrivateKey.generate())
        await tenant.call("PUT", path, 200, json={"public_key": new})
    assert [await socket.wait_closed() for socket in sockets] == [(4403, reason)] * 2
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await agent.connect_websocket()
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await agent.connect_websocket(headers={"Authorization": f"Bearer {token}"})
    assert await bystander.send_and_receive("ping", "pong")
    if reason == "suspended":
        await tenant.call("PUT", path, 200, json={"status": "active"})
        await agent.connect_websocket()


async def test_other_changes_do_not_disconnect(tenant):
    agent = await LegacyAgent.register(tenant)
    socket = await agent.connect_websocket()
    body = {"name": "renamed", "public_key": to_pem(agent.key), "status": "active"}
    await tenant.call("PUT", f"/agents/{agent.id}", 200, json=body)
    assert await socket.send_and_receive("ping", "pong")


async def test_agents_and_clients_exchange_messages_in_every_frame_format(tenant):
    agent, client = await LegacyAgent.register(tenant), await tenant.create_client()
    legacy, modern, direct = (
        await agent.connect_websocket(),
        await client.connect_websocket(),
        await client.connect_nats(),
    )
    for frame, subject in (
        ({"subject": "s.one"}, "s.one"),
        ({"channel": "s.two"}, "s.two"),
        ({"topic": "s.three"}, "s.three"),
        ({"subject": f"tenant.{tenant.id}.s.four"}, f"tenant.{tenant.id}.s.four"),
        ({"subject": f"{tenant.id}.s.five"}, f"{tenant.id}.s.five"),
    ):
        await legacy.subscribe(**frame)
        name = subject.removeprefix("tenant.").removeprefix(f"{tenant.id}.")
        await modern.send_and_receive("publish", "published", subject=name, data={"n": 1}, id=1)
        message = await legacy.receive("message")
        assert (message["subject"], message["data"], message["from"]) == (subject, {"n": 1}, client.id)
        await direct.publish(f"{tenant.id}.{name}", b"2")
        assert (await legacy.receive("message"))["data"] == 2
        await modern.subscribe(subject=name)
        for where in ({"subject": name}, {"channel": name}, {"topic": name}):
            for body in ({"data": [3]}, {"message": [3]}):
                await legacy.send_and_receive("publish", "published", id=2, **where, **body)
                message = await modern.receive("message")
                assert (message["subject"], message["data"], message["from"]) == (name, [3], agent.id)
        await legacy.send_and_receive("unsubscribe", "unsubscribed", **frame)
        await modern.send_and_receive("unsubscribe", "unsubscribed", subject=name)
        legacy.drain("message")
        modern.drain("message")
        await modern.send_and_receive("publish", "published", subject=name, data="gone", id=3)
    await legacy.assert_no_frame("message")


async def test_subscribing_with_subjects_delivers_the_data_as_message(tenant):
    one, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    by_subjects, by_subject = await one.connect_websocket(), await other.connect_websocket()
    await by_subjects.subscribe(subject="first")
    full = f"tenant.{tenant.id}.both.*"
    await by_subjects.send(type="subscribe", subjects=[full, f"tenant.{tenant.id}.more"])
    assert (await by_subjects.receive("subscribed", subject=full))["type"] == "subscribed"
    await by_subjects.receive("subscribed", subject=f"tenant.{tenant.id}.more")
    await by_subject.subscribe(subject="both.*")
    await by_subject.send_and_receive(
        "publish", "published", subject="both.x", message={"payload": {"n": 1}}, id=1
    )
    message = await by_subjects.receive("message")
    assert (message["subject"], message["message"]) == (f"tenant.{tenant.id}.both.x", {"payload": {"n": 1}})
    assert "data" not in message
    message = await by_subject.receive("message")
    assert (message["subject"], message["data"]) == ("both.x", {"payload": {"n": 1}})
    assert "message" not in message
    # The format applies to the whole socket, including earlier subscriptions.
    await by_subject.send_and_receive("publish", "published", subject="first", data=7, id=2)
    assert (await by_subjects.receive("message"))["message"] == 7
    # Overlapping subscriptions deliver once.
    await by_subjects.send(type="subscribe", subjects=["both.x"])
    await by_subjects.receive("subscribed", subject="both.x")
    await by_subject.send_and_receive("publish", "published", subject="both.x", data=8, id=3)
    assert (await by_subjects.receive("message"))["message"] == 8
    await by_subjects.assert_no_frame("message")


async def test_agents_publish_to_each_other_by_agent_id(tenant, other_tenant):
    one, other, foreign = [await LegacyAgent.register(each) for each in (tenant, tenant, other_tenant)]
    client = await (await tenant.create_client()).connect_websocket()
    sender, receiver = await one.connect_websocket(), await other.connect_websocket()
    await receiver.subscribe(subject=f"agents.{other.id}.*")
    await sender.send_and_receive("publish", "published", subject=f"agents.{other.id}.hello", data=1, id=1)
    message = await receiver.receive("message")
    assert (message["subject"], message["from"]) == (f"agents.{other.id}.hello", one.id)
    await client.send_and_receive(
        "publish", "published", subject=f"{tenant.id}.agents.{other.id}.hi", data=2, id=1
    )
    assert (await receiver.receive("message"))["subject"] == f"agents.{other.id}.hi"
    for unknown_id in (foreign.id, other_tenant.id, UNKNOWN_ID):
        for kind in ("subscribe", "publish"):
            await sender.send(type=kind, subject=f"agents.{unknown_id}.x", data=1, id="f")
            assert (await sender.receive("error"))["code"] == "forbidden_subject"


async def test_agents_use_channels_by_channel_id(tenant):
    agent, client = await LegacyAgent.register(tenant), await tenant.create_client()
    legacy, modern = await agent.connect_websocket(), await client.connect_websocket()
    channel = (await tenant.create_channel())["channel_id"]
    await legacy.subscribe(channel=channel)
    await modern.subscribe(channel=channel)
    await tenant.call("POST", f"/channels/{channel}/messages", 202, json={"n": 1})
    assert (await legacy.receive("message"))["channel"] == channel
    await modern.receive("message")
    await legacy.send_and_receive("publish", "published", channel=channel, data=2, id=1)
    message = await modern.receive("message")
    assert (message["channel"], message["data"], message["from"]) == (channel, 2, agent.id)


async def test_invalid_frames_are_answered_with_an_error(tenant):
    socket = await (await LegacyAgent.register(tenant)).connect_websocket()
    for frame, code in (
        ({"type": "subscribe"}, "bad_frame"),
        ({"type": "subscribe", "subject": "a", "topic": "b"}, "bad_frame"),
        ({"type": "subscribe", "subjects": []}, "bad_frame"),
        ({"type": "subscribe", "subjects": ["ok", "a b"]}, "bad_subject"),
        ({"type": "subscribe", "subjects": "x"}, "bad_frame"),
        ({"type": "subscribe", "subject": "agents..x"}, "bad_subject"),
        ({"type": "unsubscribe"}, "bad_frame"),
        ({"type": "publish", "subject": "a"}, "bad_frame"),
        ({"type": "publish", "subject": "a", "data": 1, "message": 2}, "bad_frame"),
        ({"type": "publish", "data": 1}, "bad_frame"),
        ({"type": "publish", "channel": "a b", "data": 1}, "bad_subject"),
        ({"type": "publish", "subject": "presence.x", "data": 1}, "forbidden_subject"),
        (
            {"type": "publish", "subject": f"tenant.{UNKNOWN_ID}.x", "data": 1},
            "forbidden_subject",
        ),
        ({"type": "dance"}, "unknown_type"),
    ):
        await socket.send(**frame, id="q")
        error = await socket.receive("error", id="q")
        assert error["code"] == code, (frame, error)
    # The valid subject of the rejected frame is subscribed.
    await socket.send_and_receive("publish", "published", subject="ok", data=1, id=1)
    assert (await socket.receive("message"))["message"] == 1
    await socket.send(type="presence", agent_id="x", status="online", capabilities=["a"], metadata={"k": 1})
    assert (await socket.send_and_receive("heartbeat", "heartbeat_ack"))["timestamp"]


async def test_agents_appear_in_presence_and_usage(tenant):
    dashboard = await tenant.connect_dashboard()
    agent, client = await LegacyAgent.register(tenant), await tenant.create_client()
    watcher = await client.connect_websocket()
    await watcher.subscribe(subject="presence.*")
    socket = await agent.connect_websocket()
    assert (await dashboard.receive("presence", client_id=agent.id))["status"] == "online"
    await watcher.receive("message", subject=f"presence.{agent.id}")
    for number in range(3):
        await socket.send_and_receive("publish", "published", subject="counted", data=number, id=number)

    async def counted():
        stats = await tenant.call("GET", "/usage/local/stats", 200)
        return stats if agent.id in str(stats) else None

    await eventually(counted)
    await socket.close()
    assert (await dashboard.receive("presence", client_id=agent.id, status="offline"))["last_seen"]


async def test_another_organization_has_no_access_to_agents(tenant, other_tenant):
    agent, foreign = (
        await LegacyAgent.register(tenant, name="same"),
        await LegacyAgent.register(other_tenant, name="same"),
    )
    # Its ids behave like ids that do not exist.
    for method, body in (("GET", None), ("PUT", {"status": "suspended"}), ("DELETE", None)):
        responses = [
            await other_tenant.http.request(method, f"/agents/{each}", json=body)
            for each in (agent.id, UNKNOWN_ID)
        ]
        problems = [without_request_id(response) for response in responses]
        assert problems[0] == problems[1]
        assert {response.status_code for response in responses} == {404}
    await eventually_equals(lambda: list_ids(other_tenant), [foreign.id])
    socket, foreign_socket = await agent.connect_websocket(), await foreign.connect_websocket()
    for frame in ({"subject": "talk"}, {"channel": "talk"}, {"subjects": ["talk.>", "agents.>", "*"]}):
        await foreign_socket.send(type="subscribe", **frame)
    await foreign_socket.send_and_receive("ping", "pong")
    await socket.send_and_receive("publish", "published", subject="talk", data="secret", id=1)
    await socket.send_and_receive(
        "publish", "published", subject="agents.presence.online", data="secret", id=2
    )
    await foreign_socket.assert_no_frame("message")
    for subject in (f"tenant.{tenant.id}.talk", f"{tenant.id}.>", f"agents.{tenant.id}.x"):
        await foreign_socket.send(type="subscribe", subject=subject, id=subject)
        assert (await foreign_socket.receive("error", id=subject))["code"] == "forbidden_subject"
    assert await socket.send_and_receive("ping", "pong")


async def test_activity_log_records_agents(tenant):
    agent = await LegacyAgent.register(tenant)
    await (await agent.connect_websocket()).close()
    path = f"/agents/{agent.id}"
    await tenant.call("PUT", path, 200, json={"status": "suspended"})
    await tenant.call("DELETE", path, 200)
    expected = {"agent.created", "agent.connected", "agent.disconnected", "agent.updated", "agent.deleted"}

    async def all_recorded():
        logs = (await tenant.call("GET", "/activity/logs", 200))["logs"]
        return expected == {each["action"] for each in logs if each["resource"] == f"agent:{agent.id}"}

    await eventually(all_recorded)
    assert len((await tenant.call("GET", "/activity/logs?type=agent", 200))["logs"]) == 3
