"""Faults of nats-server itself that one client can use against everybody."""

import json

import nats.errors
import pytest
from nats.js.api import ConsumerConfig, RePublish, StreamConfig
from nats.js.errors import BadRequestError

from support.actors import User
from support.history import publish
from support.raw_nats import RawNats
from support.signing_keys import account_of, connect_minted_user
from support.waiting import eventually

MANAGE = {"streams": "manage"}
ONE_BYTE = b"X"


@pytest.fixture(scope="module")
async def stack(new_stack):
    """A stack of its own, whose broker may end."""
    async with new_stack() as stack:
        yield stack


@pytest.fixture
async def tenant(stack):
    return await (await User.sign_up(stack)).create_organization()


async def publish_one_byte_header(client, subject):
    raw = await RawNats.connect(client)
    for _ in range(3):
        raw.publish(subject.encode(), b"{}", headers=ONE_BYTE)
    await raw.ping()
    await raw.ping()


async def test_header_block_of_one_byte_on_a_channel_does_not_end_the_broker(stack, tenant):
    """A stream with `republish` would end it, and so would a consumer of headers only."""
    channel, client = await tenant.create_channel(), await tenant.create_client()
    await publish(tenant, channel, 1)
    broker = stack.supervisor.pid("nats")
    socket = await client.connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], since=1)
    await publish_one_byte_header(client, channel["subject"])
    await publish(tenant, channel, 2)
    received = [(await socket.receive("message"))["data"] for _ in range(5)]
    assert (received[0], received[-1]) == (1, 2)
    js = (await client.connect_nats()).jetstream(domain="PLATFORM", timeout=2)
    with pytest.raises(Exception, match="whole messages"):
        await js.add_consumer("CHANNELS", ConsumerConfig(durable_name="h", headers_only=True))
    assert stack.supervisor.pid("nats") == broker


def spellings(name):
    """Ways to write a setting that the broker understands: it folds the case of names as Unicode does."""
    return [name, name.upper(), name.title(), name.replace("s", "\u017f"), name.replace("k", "\u212a")]


def refused_streams(subject):
    """Configurations with `republish`, in each spelling, alone or as the second of two."""
    value = json.dumps({"src": subject, "dest": "copy"})
    for name in spellings("republish"):
        yield f'{{"name":"MINE","subjects":["{subject}"],"{name}":{value}}}'
        yield f'{{"name":"MINE","subjects":["{subject}"],"republish":null,"{name}":{value}}}'


async def call(nc, name, body):
    """The answer of the JetStream API, or None if there is none."""
    try:
        reply = await nc.request(f"$JS.API.{name}", body.encode(), timeout=2)
    except (TimeoutError, nats.errors.Error):
        return None
    return json.loads(reply.data)


async def connect(stack, tenant, kind):
    """A client that manages streams, or a user without limits that the organization issued, and a client's seed."""
    client = await tenant.create_client(permissions=MANAGE)
    nc = await client.connect_nats()
    if kind == "minted":
        issued = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
        nc = await connect_minted_user(stack, await account_of(nc), issued["nkey_seed"])
    return nc, client


@pytest.mark.parametrize("kind", ["client", "minted"])
async def test_stream_that_republishes_is_refused(stack, tenant, kind):
    nc, client = await connect(stack, tenant, kind)
    broker = stack.supervisor.pid("nats")
    for body in refused_streams("mine"):
        answer = await call(nc, "STREAM.CREATE.MINE", body)
        assert answer["error"]["code"] == 400, body
    with pytest.raises(BadRequestError, match="may not republish"):
        await nc.jetstream().add_stream(
            StreamConfig(name="MINE", subjects=["mine"], republish=RePublish(src="mine", dest="copy"))
        )
    await nc.jetstream().add_stream(StreamConfig(name="MINE", subjects=["mine"]))
    for body in refused_streams("mine"):
        assert "error" in await call(nc, "STREAM.UPDATE.MINE", body), body
    for name in ("STREAM.RESTORE.OTHER", "STREAM.TEMPLATE.CREATE.OTHER"):
        config = {"name": "OTHER", "subjects": ["mine"], "republish": {"src": "mine", "dest": "copy"}}
        assert await call(nc, name, json.dumps({**config, "config": config})) is None
    await publish_one_byte_header(client, "mine")
    assert (await nc.jetstream().stream_info("MINE")).state.messages == 3
    assert stack.supervisor.pid("nats") == broker


@pytest.mark.parametrize("kind", ["client", "minted"])
async def test_consumer_of_headers_only_is_refused(stack, tenant, kind):
    nc, client = await connect(stack, tenant, kind)
    broker = stack.supervisor.pid("nats")
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="MINE", subjects=["mine"]))
    for name in spellings("headers_only"):
        config = f'{{"durable_name":"c","ack_policy":"explicit","headers_only":false,"{name}":true}}'
        for method in ("CREATE.MINE.c", "DURABLE.CREATE.MINE.c"):
            body = f'{{"stream_name":"MINE","config":{config}}}'
            answer = await call(nc, f"CONSUMER.{method}", body)
            assert answer["error"]["code"] == 400, body
    with pytest.raises(BadRequestError, match="whole messages"):
        await js.add_consumer("MINE", ConsumerConfig(durable_name="h", headers_only=True))
    await js.add_consumer("MINE", ConsumerConfig(durable_name="w"))
    await publish_one_byte_header(client, "mine")
    raw = await RawNats.connect(client)
    raw.write(b"SUB _INBOX.raw 1\r\n")
    raw.publish(b"$JS.API.CONSUMER.MSG.NEXT.MINE.w", b"3", reply=b"_INBOX.raw")
    await wait_for_line(raw, b"HMSG mine")
    assert stack.supervisor.pid("nats") == broker


async def wait_for_line(raw, start):
    """Wait until a connection receives a line that begins with `start`."""

    async def is_received():
        return any(line.startswith(start) for line in await raw.ping())

    await eventually(is_received)


async def test_keys_of_a_bucket_are_listed_by_whole_messages(stack, tenant):
    """Libraries ask for headers only."""
    nc, client = await connect(stack, tenant, "client")
    broker = stack.supervisor.pid("nats")
    bucket = await nc.jetstream().create_key_value(bucket="settings")
    await bucket.put("colour", b"red")
    assert await bucket.keys() == ["colour"]
    # Which nats-py does not survive.
    await publish_one_byte_header(client, "$KV.settings.odd")
    raw = await RawNats.connect(client)
    raw.write(b"SUB _INBOX.keys 1\r\n")
    await raw.ping()
    config = {"deliver_subject": "_INBOX.keys", "ack_policy": "none", "headers_only": True}
    answer = await call(
        nc, "CONSUMER.CREATE.KV_settings", json.dumps({"stream_name": "KV_settings", "config": config})
    )
    assert not answer["config"].get("headers_only")
    await wait_for_line(raw, b"HMSG $KV.settings.odd")
    assert stack.supervisor.pid("nats") == broker


# What streams may have, by name: settings, and where they get their messages.
STREAMS = {
    "PLAIN": {"subjects": ["plain"], "compression": "s2"},
    "MIRROR": {"mirror": {"name": "PLAIN"}, "mirror_direct": True},
    "SOURCED": {"sources": [{"name": "PLAIN", "subject_transforms": [{"src": "plain", "dest": "x"}]}]},
    "RENAMED": {"subjects": ["renamed"], "subject_transform": {"src": "renamed", "dest": "other"}},
    "LATEST": {"subjects": ["latest"], "max_msgs_per_subject": 2, "allow_rollup_hdrs": True},
    "EXPIRING": {"subjects": ["expiring"], "allow_msg_ttl": True, "subject_delete_marker_ttl": 10**9},
    "BATCHES": {"subjects": ["batches"], "allow_atomic": True, "allow_batched": True},
    "COUNTER": {"subjects": ["counter"], "allow_msg_counter": True},
    "INTEREST": {"subjects": ["interest"], "retention": "interest", "no_ack": True},
}


async def test_no_other_setting_of_a_stream_ends_the_broker(stack, tenant):
    nc, client = await connect(stack, tenant, "client")
    broker = stack.supervisor.pid("nats")
    for name, settings in STREAMS.items():
        config = {"name": name, "allow_direct": True, **settings}
        assert "error" not in (answer := await call(nc, f"STREAM.CREATE.{name}", json.dumps(config))), answer
        consumer = {"durable_name": "c", "ack_policy": "explicit", "sample_freq": "100"}
        body = json.dumps({"stream_name": name, "config": consumer})
        assert "error" not in await call(nc, f"CONSUMER.DURABLE.CREATE.{name}.c", body)
    for name in STREAMS:
        await publish_one_byte_header(client, name.lower())
    raw = await RawNats.connect(client)
    for name in STREAMS:
        raw.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}.c".encode(), b"3", reply=b"_INBOX.raw")
        raw.publish(f"$JS.API.DIRECT.GET.{name}".encode(), b'{"seq":1}', reply=b"_INBOX.raw")
    await raw.ping()
    assert (await nc.jetstream().stream_info("PLAIN")).state.messages == 3
    assert stack.supervisor.pid("nats") == broker
