"""Frames and NATS messages of one organization, with the subjects and ids of another.

As in test_isolation_rest.py, foreign ids must be indistinguishable from unknown ids.
"""

import asyncio
import json
import re

import nats.errors
import pytest

from support.agents import LegacyAgent
from support.api_examples import CLIENT_FRAMES, DASHBOARD_FRAMES
from support.command_spy import CommandSpy
from support.isolation import FOREIGN_MARKER, unknown_ids
from support.waiting import QUIET_PERIOD_S

# Subjects of the other organization in every spelling, and subjects of the platform.
SUBJECTS = (
    "{account_id}.x",
    "{account_id}.>",
    "{account_id}",
    "tenant.{account_id}",
    "tenant.{account_id}.x",
    "tenant.{account_id}.>",
    "tenant.{account_id}.channel.{channel_id}",
    "tenant.{account_id}.channel.*",
    "tenant.{account_id}.presence.{client_id}",
    "tenant.*.channel.{channel_id}",
    "agents.{account_id}.x",
    "agents.{account_id}.>",
    "agents.{agent_id}.x",
    "channels.{account_id}.x",
    "channels.{channel_id}.x",
    "{client_id}.x",
    "_heartbeat.{account_id}.{client_id}",
    "_HEARTBEAT.tenant.{account_id}.client.{client_id}",
    "_PRESENCE.tenant.{account_id}.client.{client_id}",
    "_METRICS.tenant.{account_id}.client.{client_id}",
    "_INBOX.>",
    "_INBOX.{client_id}.x",
    "_REPUBLISH.{client_id}",
    "$SYS.ACCOUNT.{account_id}.CONNECT",
    "$SYS.REQ.ACCOUNT.{account_id}.CLAIMS.LOOKUP",
    "$JS.API.STREAM.INFO.CHANNELS",
    "$JS.API.DIRECT.GET.CHANNELS.tenant.{account_id}.channel.{channel_id}",
)
# Over NATS, these are subjects in the caller's own account.
NATS_SUBJECTS = (
    *SUBJECTS,
    "artcafe.tenancy.client.get",
    "artcafe.ingest.{account_id}.heartbeat.{account_id}.{client_id}",
    "artcafe.tenant.{account_id}.presence.{client_id}",
    "artcafe.events.client.revoked",
    ">",
)
REPLIES = {"error", "published", "subscribed", "unsubscribed", "reply", "subscription_confirmed"}
REPLIES |= {"unsubscription_confirmed", "roster"}


async def send_frame(socket, frame):
    """Send a frame and return its reply; for frames without a reply, wait for a pong instead."""
    await socket.send(**frame)
    if "id" not in frame:
        await socket.send_and_receive("ping", "pong")
        return [reply for kind in ("error", "heartbeat_ack") for reply in socket.drain(kind)]
    return await socket.receive_any(REPLIES, id=frame["id"])


def foreign_frames(kind, fields, ids):
    """Every variant of a frame type that refers to the other organization."""
    variants = []
    if "subject" in fields:
        variants += [{"subject": name} for name in SUBJECTS]
    if "pattern" in fields:
        variants += [{"pattern": name} for name in SUBJECTS]
    if kind in ("subscribe", "unsubscribe", "publish"):
        variants += [{"channel": name} for name in ("{channel_id}", "{account_id}", "x.{account_id}")]
    if "channel_id" in fields:
        variants += [{"channel_id": name} for name in ("{channel_id}", "{account_id}", "{client_id}")]
    if kind == "subscribe":
        # With history as well.
        variants += [{**variant, **start} for variant in variants for start in ({"last": 5}, {"since": 1})]
    # Unknown fields are ignored.
    variants = variants or [
        {"client_id": "{client_id}", "tenant_id": "{account_id}", "subject": "{account_id}.x"}
    ]
    rest = {key: value for key, value in fields.items() if key not in ("subject", "pattern", "channel_id")}
    for number, variant in enumerate(variants):
        filled = {k: v.format(**ids) if isinstance(v, str) else v for k, v in variant.items()}
        frame = {"type": kind, **rest, **filled}
        if kind in ("publish", "request"):
            frame |= {"data": FOREIGN_MARKER}
        if kind not in ("heartbeat", "ping", "presence"):
            frame["id"] = f"{kind} {number}"
        yield frame


def without_ids(reply, ids):
    """A reply without ids and timestamps."""
    text = json.dumps(reply, sort_keys=True)
    for name, value in ids.items():
        text = text.replace(value, name)
    return re.sub(r'"timestamp": "[^"]*"', "", text)


@pytest.mark.parametrize("kind", ["client", "agent", "dashboard"])
async def test_foreign_ids_in_frames_are_indistinguishable_from_unknown_ids(
    stack, victim, other_tenant, kind
):
    table = DASHBOARD_FRAMES if kind == "dashboard" else CLIENT_FRAMES
    spy = await CommandSpy.attach(stack)
    socket = await {
        "client": lambda: connect_client(other_tenant),
        "agent": lambda: connect_agent(other_tenant),
        "dashboard": other_tenant.connect_dashboard,
    }[kind]()
    unknown = unknown_ids()
    failures, codes = [], set()
    for type_, fields in table.items():
        pairs = zip(
            foreign_frames(type_, fields, victim.ids), foreign_frames(type_, fields, unknown), strict=True
        )
        for frame, unknown_frame in pairs:
            replies = [without_ids(await send_frame(socket, frame), victim.ids)]
            replies.append(without_ids(await send_frame(socket, unknown_frame), unknown))
            if replies[0] != replies[1]:
                failures.append((frame, *replies))
            subject = frame.get("subject") or frame.get("pattern") or ""
            if subject in foreign_subjects(victim.ids) and fields.keys() & {"subject", "pattern"}:
                codes |= set(re.findall(r'"code": "(\w+)"', replies[0])) or {"none"}
    assert failures == []
    assert codes <= {"forbidden_subject", "bad_subject"}
    assert "forbidden_subject" in codes
    await spy.flush()
    for name in ("account_id", "client_id", "agent_id", "channel_id"):
        assert spy.subjects_containing(victim.ids[name]) == spy.subjects_containing(unknown[name]), name
    assert await socket.send_and_receive("ping", "pong")


def foreign_subjects(ids):
    """The subjects that start with the id of the other organization."""
    return {name.format(**ids) for name in SUBJECTS if "account_id" in name and name[0] not in "_$"}


async def connect_client(tenant):
    return await (await tenant.create_client("a stranger")).connect_websocket()


async def connect_agent(tenant):
    return await (await LegacyAgent.register(tenant)).connect_websocket()


async def test_foreign_subjects_over_nats_reach_only_the_own_account(stack, victim, other_tenant):
    """Or the broker rejects them."""
    errors = []

    async def record_error(error):
        errors.append(str(error))

    client = await other_tenant.create_client("a stranger")
    nc = await client.connect_nats(error_cb=record_error)
    own = await (await other_tenant.create_client("at home")).connect_websocket()
    unknown = unknown_ids()
    payload = json.dumps({"ts": 1, "v": "1.0", "type": "disconnect", "status": FOREIGN_MARKER}).encode()
    outcomes = []
    for ids in (victim.ids, unknown):
        errors.clear()
        subjects = [name.format(**ids) for name in NATS_SUBJECTS]
        exact = [subject for subject in subjects if "*" not in subject and ">" not in subject]
        responses = [(subject, await request_outcome(nc, subject, payload)) for subject in exact]
        subscriptions = [await nc.subscribe(subject) for subject in subjects]
        for subject in exact:
            await nc.publish(subject, payload)
            await nc.publish(subject, payload, reply=f"tenant.{ids['account_id']}.x")
        await nc.flush()
        for subscription in subscriptions:
            await subscription.unsubscribe()
        await own.send_and_receive("ping", "pong")
        # The library writes the broker's errors in lower case.
        lower = {name: value.lower() for name, value in ids.items()}
        outcomes.append((without_ids(responses, ids), sorted(without_ids(error, lower) for error in errors)))
    assert outcomes[0] == outcomes[1]
    assert nc.is_connected


async def request_outcome(nc, subject, payload):
    """How a request ended, without the content of the reply."""
    try:
        message = await nc.request(subject, payload, timeout=0.3)
    except (nats.errors.Error, TimeoutError) as error:
        return type(error).__name__
    return "replied" if message.data != payload else "received its own request"


async def test_messages_and_presence_reach_no_other_organization(tenant, other_tenant):
    channel = await tenant.create_channel()
    publisher, subscriber = await tenant.create_client(), await tenant.create_client()
    ids = unknown_ids() | {
        "account_id": tenant.id,
        "client_id": publisher.id,
        "channel_id": channel["channel_id"],
    }
    own = await other_tenant.create_client("a stranger")
    sockets = [
        await own.connect_websocket(),
        await connect_agent(other_tenant),
        await other_tenant.connect_dashboard(),
    ]
    for socket in sockets[:2]:
        for pattern in (">", "*", "*.x", "*.*.x", "channel.*", "presence.*"):
            await socket.subscribe(subject=pattern)
        await socket.send(type="subscribe", channel=ids["channel_id"], id="foreign")
        assert (await socket.receive("error", id="foreign"))["code"] == "channel_not_found"
        await socket.subscribe(subject=f"tenant.{other_tenant.id}.channel.{ids['channel_id']}")
    await sockets[2].send(type="subscribe_topic_preview")
    await sockets[2].receive("subscription_confirmed")
    foreign_nc = await own.connect_nats()
    received = []

    async def record(message):
        received.append((message.subject, message.data.decode()))

    for name in NATS_SUBJECTS:
        await foreign_nc.subscribe(name.format(**ids), cb=record)
    await foreign_nc.flush()

    socket = await publisher.connect_websocket()
    subscriber_socket, nc = await subscriber.connect_websocket(), await publisher.connect_nats()
    await subscriber_socket.subscribe(subject=">")
    spellings = ("x", "{0}.x", "tenant.{0}.x", "agents.{0}.x", "channels.{0}.x")
    for number, name in enumerate(name.format(tenant.id) for name in spellings):
        await socket.send(type="publish", subject=name, data="only for us", id=number)
        await socket.receive("published", id=number)
        await socket.send(type="request", subject=name, data="only for us", id=number, timeout_ms=200)
        await nc.publish(name, b'"only for us"')
        await request_outcome(nc, name, b'"only for us"')
    await socket.send(type="presence", status="busy", metadata={"a": "only for us"})
    await nc.publish(f"_heartbeat.{tenant.id}.{publisher.id}", b'{"ts": 1, "v": "1.0"}')
    await tenant.call(
        "POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": "only for us"}
    )
    await nc.flush()
    await subscriber_socket.receive("message", data="only for us")
    await foreign_nc.flush()
    await asyncio.sleep(QUIET_PERIOD_S)
    leaked = [received, *(socket.pending(kind) for socket in sockets for kind in DELIVERED)]
    assert "only for us" not in str(leaked)
    assert tenant.id not in str(leaked)
    # Its own messages do arrive.
    await sockets[0].send(type="publish", subject="x", data=FOREIGN_MARKER)
    for socket in (sockets[0], sockets[1]):
        await socket.receive("message", data=FOREIGN_MARKER)
    await sockets[2].receive("topic_preview_message", data=FOREIGN_MARKER)
    await foreign_nc.flush()
    assert FOREIGN_MARKER in str(received)


DELIVERED = ("message", "channel_message", "topic_preview_message", "presence", "activity")
