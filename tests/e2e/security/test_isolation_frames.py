"""Frames and direct NATS of one organization, with the names of another."""

import asyncio
import json
import re

import nats.errors
import pytest

from support.agents import LegacyAgent
from support.api_examples import CLIENT_FRAMES, DASHBOARD_FRAMES
from support.command_spy import CommandSpy
from support.isolation import FOREIGN_MARKER, undisturbed, unknown_ids
from support.waiting import QUIET_PERIOD_S

# Every way to say a name of the other organization, and of what belongs to the platform.
NAMES = (
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
# Over direct NATS: names in the stranger's own account, and so not even refused.
RAW = (
    *NAMES,
    "artcafe.tenancy.client.get",
    "artcafe.ingest.{account_id}.heartbeat.{account_id}.{client_id}",
    "artcafe.tenant.{account_id}.presence.{client_id}",
    "artcafe.events.client.revoked",
    ">",
)
ANSWERS = {"error", "published", "subscribed", "unsubscribed", "reply", "subscription_confirmed"}
ANSWERS |= {"unsubscription_confirmed"}


@pytest.fixture
async def victim(tenant):
    async with undisturbed(tenant) as prepared:
        yield prepared


async def answer(socket, frame):
    """What a frame is answered with; what has no answer has a pong behind it."""
    await socket.send(**frame)
    if "id" not in frame:
        await socket.send_and_receive("ping", "pong")
        return [other for kind in ("error", "heartbeat_ack") for other in socket.drain(kind)]
    return await socket.receive_any(ANSWERS, id=frame["id"])


def frames_of(kind, fields, ids):
    """A frame in all the ways in which it can name what is another's."""
    ways = []
    if "subject" in fields:
        ways += [{"subject": name} for name in NAMES]
    if "pattern" in fields:
        ways += [{"pattern": name} for name in NAMES]
    if kind in ("subscribe", "unsubscribe", "publish"):
        ways += [{"channel": name} for name in ("{channel_id}", "{account_id}", "x.{account_id}")]
    if "channel_id" in fields:
        ways += [{"channel_id": name} for name in ("{channel_id}", "{account_id}", "{client_id}")]
    if kind == "subscribe":
        # What was kept is asked for as well.
        ways += [{**way, **kept} for way in ways for kept in ({"last": 5}, {"since": 1})]
    # What it does not know is ignored, whatever it says.
    ways = ways or [{"client_id": "{client_id}", "tenant_id": "{account_id}", "subject": "{account_id}.x"}]
    rest = {key: value for key, value in fields.items() if key not in ("subject", "pattern", "channel_id")}
    for number, way in enumerate(ways):
        named = {k: v.format(**ids) if isinstance(v, str) else v for k, v in way.items()}
        frame = {"type": kind, **rest, **named}
        if kind in ("publish", "request"):
            frame |= {"data": FOREIGN_MARKER}
        if kind not in ("heartbeat", "ping", "presence"):
            frame["id"] = f"{kind} {number}"
        yield frame


def without_ids(found, ids):
    """An answer without what it repeats of the frame, and without its time."""
    text = json.dumps(found, sort_keys=True)
    for name, value in ids.items():
        text = text.replace(value, name)
    return re.sub(r'"timestamp": "[^"]*"', "", text)


@pytest.mark.parametrize("kind", ["client", "agent", "dashboard"])
async def test_every_frame_with_what_is_anothers(stack, victim, other_tenant, kind):
    table = DASHBOARD_FRAMES if kind == "dashboard" else CLIENT_FRAMES
    spy = await CommandSpy.attach(stack)
    socket = await {
        "client": lambda: _client_socket(other_tenant),
        "agent": lambda: _agent_socket(other_tenant),
        "dashboard": other_tenant.connect_dashboard,
    }[kind]()
    none = unknown_ids()
    wrong, codes = [], set()
    for type_, fields in table.items():
        pairs = zip(frames_of(type_, fields, victim.ids), frames_of(type_, fields, none), strict=True)
        for one, other in pairs:
            found = [without_ids(await answer(socket, one), victim.ids)]
            found.append(without_ids(await answer(socket, other), none))
            if found[0] != found[1]:
                wrong.append((one, *found))
            named = one.get("subject") or one.get("pattern") or ""
            if named in _told(victim.ids) and fields.keys() & {"subject", "pattern"}:
                codes |= set(re.findall(r'"code": "(\w+)"', found[0])) or {"none"}
    assert wrong == []
    assert codes <= {"forbidden_subject", "bad_subject"}
    assert "forbidden_subject" in codes
    await spy.flush()
    for name in ("account_id", "client_id", "agent_id", "channel_id"):
        assert spy.subjects_containing(victim.ids[name]) == spy.subjects_containing(none[name]), name
    assert await socket.send_and_receive("ping", "pong")


def _told(ids):
    """The names that are another organization's beyond doubt."""
    return {name.format(**ids) for name in NAMES if "account_id" in name and name[0] not in "_$"}


async def _client_socket(tenant):
    return await (await tenant.create_client("a stranger")).connect_websocket()


async def _agent_socket(tenant):
    return await (await LegacyAgent.register(tenant)).connect_websocket()


async def test_direct_nats_on_what_is_anothers(stack, victim, other_tenant):
    """They are names in the stranger's own account, or refused by the broker; nothing crosses over."""
    refused = []

    async def note(error):
        refused.append(str(error))

    agent = await other_tenant.create_client("a stranger")
    nc = await agent.connect_nats(error_cb=note)
    own = await (await other_tenant.create_client("at home")).connect_websocket()
    none = unknown_ids()
    payload = json.dumps({"ts": 1, "v": "1.0", "type": "disconnect", "status": FOREIGN_MARKER}).encode()
    found = []
    for ids in (victim.ids, none):
        refused.clear()
        subjects = [name.format(**ids) for name in RAW]
        exact = [subject for subject in subjects if "*" not in subject and ">" not in subject]
        answers = [(subject, await _asked(nc, subject, payload)) for subject in exact]
        listening = [await nc.subscribe(subject) for subject in subjects]
        for subject in exact:
            await nc.publish(subject, payload)
            await nc.publish(subject, payload, reply=f"tenant.{ids['account_id']}.x")
        await nc.flush()
        for subscription in listening:
            await subscription.unsubscribe()
        await own.send_and_receive("ping", "pong")
        found.append((without_ids(answers, ids), without_ids(sorted(refused), ids)))
    assert found[0] == found[1]
    assert nc.is_connected


async def _asked(nc, subject, payload):
    """How a request ended; what an answer says of its time and size is left out."""
    try:
        message = await nc.request(subject, payload, timeout=0.3)
    except (nats.errors.Error, TimeoutError) as error:
        return type(error).__name__
    return "answered" if message.data != payload else "heard oneself"


async def test_what_is_said_is_heard_by_no_stranger(tenant, other_tenant):
    channel = await tenant.create_channel()
    speaker, listener = await tenant.create_client(), await tenant.create_client()
    ids = unknown_ids() | {
        "account_id": tenant.id,
        "client_id": speaker.id,
        "channel_id": channel["channel_id"],
    }
    own = await other_tenant.create_client("a stranger")
    sockets = [
        await own.connect_websocket(),
        await _agent_socket(other_tenant),
        await other_tenant.connect_dashboard(),
    ]
    for socket in sockets[:2]:
        for pattern in (">", "*", "*.x", "*.*.x", "channel.*", "presence.*"):
            await socket.subscribe(subject=pattern)
        await socket.subscribe(channel=ids["channel_id"])
    await sockets[2].send(type="subscribe_topic_preview")
    await sockets[2].receive("subscription_confirmed")
    raw = await own.connect_nats()
    heard = []

    async def hear(message):
        heard.append((message.subject, message.data.decode()))

    for name in RAW:
        await raw.subscribe(name.format(**ids), cb=hear)
    await raw.flush()

    said = await speaker.connect_websocket()
    witness, nc = await listener.connect_websocket(), await speaker.connect_nats()
    await witness.subscribe(subject=">")
    spelt = ("x", "{0}.x", "tenant.{0}.x", "agents.{0}.x", "channels.{0}.x")
    for number, name in enumerate(name.format(tenant.id) for name in spelt):
        await said.send(type="publish", subject=name, data="only for us", id=number)
        await said.receive("published", id=number)
        await said.send(type="request", subject=name, data="only for us", id=number, timeout_ms=200)
        await nc.publish(name, b'"only for us"')
        await _asked(nc, name, b'"only for us"')
    await said.send(type="presence", status="only for us", metadata={"a": "only for us"})
    await nc.publish(f"_heartbeat.{tenant.id}.{speaker.id}", b'{"ts": 1, "v": "1.0"}')
    await tenant.call(
        "POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": "only for us"}
    )
    await nc.flush()
    await witness.receive("message", data="only for us")
    await raw.flush()
    await asyncio.sleep(QUIET_PERIOD_S)
    seen = [heard, *(socket.pending(kind) for socket in sockets for kind in SHOWN)]
    assert "only for us" not in str(seen)
    assert tenant.id not in str(seen)
    # It was not deaf.
    await sockets[0].send(type="publish", subject="x", data=FOREIGN_MARKER)
    for socket in (sockets[0], sockets[1]):
        await socket.receive("message", data=FOREIGN_MARKER)
    await sockets[2].receive("topic_preview_message", data=FOREIGN_MARKER)
    await raw.flush()
    assert FOREIGN_MARKER in str(heard)


SHOWN = ("message", "channel_message", "topic_preview_message", "presence", "activity")
