"""Invalid frames, for every frame type of clients and dashboards."""

import msgspec
import pytest

from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.sessions.dashboard import DashboardSession
from support.api_examples import CLIENT_FRAMES, DASHBOARD_FRAMES
from support.invalid_frames import INVALID_FRAME_IDS, Bystander, assert_frame_rejected

REPLIES = {
    "heartbeat": "heartbeat_ack",
    "ping": "pong",
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "publish": "published",
    "request": "error",
    "presence": None,
    "roster": "roster",
    "subscribe_channel": "subscription_confirmed",
    "unsubscribe_channel": "unsubscription_confirmed",
    "subscribe_topic_preview": "subscription_confirmed",
    "unsubscribe_topic_preview": "unsubscription_confirmed",
}
REQUIRED_FIELDS = {
    "publish": {"data"},
    "request": {"subject", "data", "id"},
    "roster": {"id"},
    "subscribe_channel": {"channel_id"},
    "unsubscribe_channel": {"channel_id"},
}
FIELDS_OF_ANY_TYPE = {"data", "timestamp", "capabilities"}
WRONG_TYPES = {
    str: (1, True, [], {}),
    dict: (1, "x", []),
    int: ("1", 1.5, 0, -1, 10**6, None),
    float: ("1", 0, 2, []),
}


def test_examples_cover_every_frame_type():
    for session_type, table in ((ClientSession, CLIENT_FRAMES), (DashboardSession, DASHBOARD_FRAMES)):
        kinds = {kind.__struct_config__.tag: kind for kind in session_type.received_frames}
        assert kinds.keys() == table.keys()
        for tag, kind in kinds.items():
            fields = {field.name for field in msgspec.structs.fields(kind) if field.required}
            assert fields == REQUIRED_FIELDS.get(tag, set())


@pytest.fixture(params=["client", "dashboard"])
async def peer(request, example, close_resources):
    """A socket of either kind; after the test it must still work, and no other socket be affected."""
    bystander = await Bystander.connect(example.tenant)
    if request.param == "client":
        socket, table = await (await example.tenant.create_client()).connect_websocket(), CLIENT_FRAMES
    else:
        socket, table = await example.tenant.connect_dashboard(), DASHBOARD_FRAMES
    ids = example.ids
    socket.table = {
        kind: {k: v.format(**ids) if isinstance(v, str) else v for k, v in fields.items()}
        for kind, fields in table.items()
    }
    yield socket
    assert await socket.send_and_receive("ping", "pong")
    await bystander.assert_undisturbed()


async def test_frames_with_missing_or_invalid_fields_are_rejected(peer):
    for kind, fields in peer.table.items():
        valid = {"type": kind, **fields, "id": "e"}
        for field in REQUIRED_FIELDS.get(kind, ()):
            await assert_frame_rejected(peer, {k: v for k, v in valid.items() if k != field}, "bad_frame")
        for field, value in fields.items():
            if field in FIELDS_OF_ANY_TYPE:
                continue
            for wrong in WRONG_TYPES[type(value)]:
                await assert_frame_rejected(peer, {**valid, field: wrong}, "bad_frame")
        for bad in INVALID_FRAME_IDS:
            if kind in ("heartbeat", "ping", "presence"):
                continue  # these have no id: it is an unknown field
            await assert_frame_rejected(peer, {**valid, "id": bad}, "bad_frame")
        # Unknown fields are ignored.
        await peer.send(**valid, zz={"a": [1] * 100}, client_id="x", tenant_id="x", Type="x")
        if REPLIES[kind]:
            reply = await peer.receive(REPLIES[kind])
            assert reply.get("id", "e") == "e"


async def test_frames_with_too_long_values_are_rejected(peer):
    big = "x" * 200_000
    for kind, fields in peer.table.items():
        for field, value in fields.items():
            if not isinstance(value, str):
                continue
            codes = ("bad_frame", "bad_subject", "channel_not_found")
            if kind == "unsubscribe_channel":
                codes = ("bad_frame",)
            await assert_frame_rejected(peer, {"type": kind, **fields, "id": "h", field: big}, codes)
        await assert_frame_rejected(peer, {"type": kind + "x" * 100_000, "id": "h"}, "unknown_type")


async def test_malformed_frames_are_rejected(peer):
    for text in (
        "{",
        "nonsense",
        "{'type': 'ping'}",
        '{"type": "ping"',
        "",
        " ",
        "\0",
        '{"type":"ping","a":NaN}',
        "\ufeff{}",
    ):
        await assert_frame_rejected(peer, text, "not_json")
        await peer.send_and_receive("ping", "pong")
    for raw in (
        b"\xff",
        b'{"type":"ping","x":"\xff"}',
        b'{"type":"publish","subject":"a","data":"\xed\xa0\x80"}',
    ):
        await peer.ws.send(raw, text=True)
        assert (await peer.receive("error"))["code"] == "not_json"
        await peer.send_and_receive("ping", "pong")
    for text in ("[]", "5", '"ping"', "null", "true", '[{"type":"ping"}]'):
        await assert_frame_rejected(peer, text, "bad_frame")
    for kind in (None, 5, True, [], {}, ["ping"]):
        await assert_frame_rejected(peer, {"type": kind, "id": "t"}, "bad_frame")
    await assert_frame_rejected(peer, {"id": "t"}, "bad_frame")
    for kind in ("", "PING", " ping", "ping\0", "auth", "welcome", "message", "error", "x" * 1000):
        await assert_frame_rejected(peer, {"type": kind, "id": "t"}, "unknown_type")
    for count in (2_000, 100_000):
        for text in ("[" * count, "[" * count + "]" * count, '{"a":' * count + "1" + "}" * count):
            await assert_frame_rejected(peer, text, ("bad_frame", "not_json"))
            await peer.send_and_receive("ping", "pong")
            publish = f'{{"type":"publish","subject":"a","id":"deep","data":{text}}}'
            await assert_frame_rejected(peer, publish, ("bad_frame", "not_json", "unknown_type"))
            await peer.send_and_receive("ping", "pong")
    # Binary messages are accepted like text.
    await peer.ws.send(b'{"type":"ping"}')
    await peer.receive("pong")
    await assert_frame_rejected(peer, b"\x00\x01\x02", "not_json")
    await peer.ws.send(["{", '"type":', '"ping"', "}"])
    await peer.receive("pong")


async def test_dashboard_rejects_unknown_channels_and_invalid_patterns(example):
    dashboard = await example.tenant.connect_dashboard()
    for channel in (
        "",
        "x",
        "..",
        "*",
        ">",
        "a b",
        "\0",
        f"name#{example.tenant.id}#x",
        example.ids["client_id"],
    ):
        await assert_frame_rejected(
            dashboard, {"type": "subscribe_channel", "channel_id": channel, "id": 1}, "channel_not_found"
        )
    for pattern in ("a b", "a..b", "a*", "", "a.>.b", "x" * 300):
        await assert_frame_rejected(
            dashboard, {"type": "subscribe_topic_preview", "pattern": pattern, "id": 1}, "bad_subject"
        )
    for pattern in ("$SYS.>", "_INBOX.>", "tenant.*.x"):
        await assert_frame_rejected(
            dashboard, {"type": "subscribe_topic_preview", "pattern": pattern, "id": 1}, "forbidden_subject"
        )
    assert await dashboard.send_and_receive("ping", "pong")
