"""The streams that clients keep reach nothing but what the organization publishes, and disturb nobody."""

import asyncio
import contextlib
import json

import nats.errors
import pytest
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import Error as JetStreamError

from support.history import publish, read_history
from support.signing_keys import account_of, connect_minted_user
from support.waiting import QUIET_PERIOD_S, eventually

MANAGE = {"streams": "manage"}


@pytest.fixture(params=["client", "minted"])
async def manager(request, stack, tenant):
    """A client with `streams: manage`, or a user without limits that the organization issued."""
    nc = await (await tenant.create_client(permissions=MANAGE)).connect_nats()
    if request.param == "minted":
        issued = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
        nc = await connect_minted_user(stack, await account_of(nc), issued["nkey_seed"])
    return nc


@pytest.mark.parametrize(
    "subject",
    [
        "_INBOX.>",
        "_heartbeat.>",
        "$JS.API.>",
        "$JS.PLATFORM.API.>",
        "_GW.>",
        "*.x",
        "artcafe.streams.>",
        "tenant.*.channel.x",
    ],
)
async def test_own_stream_stores_subjects_of_the_organization_only(manager, subject):
    with pytest.raises(JetStreamError):
        await manager.jetstream().add_stream(StreamConfig(name="MINE", subjects=[subject]))


@pytest.mark.parametrize("subject", ["mine.copy", "$JS.API.STREAM.PURGE.CHANNELS", "_GW.x", "_heartbeat.x.y"])
async def test_consumer_of_an_own_stream_delivers_to_inboxes_only(manager, subject):
    js = manager.jetstream()
    await js.add_stream(StreamConfig(name="MINE", subjects=["mine.a"]))
    with pytest.raises(JetStreamError, match="_INBOX"):
        await js.add_consumer("MINE", ConsumerConfig(deliver_subject=subject))


@pytest.mark.parametrize(
    "call",
    ["STREAM.RESTORE.MINE", "STREAM.SNAPSHOT.MINE", "STREAM.LEADER.STEPDOWN.MINE", "META.LEADER.STEPDOWN"],
)
async def test_call_that_is_not_checked_does_not_exist(manager, call):
    """JetStream is off in the account of the clients, so that there is no way beside the checks."""
    await manager.jetstream().add_stream(StreamConfig(name="MINE", subjects=["mine.a"]))
    body = {"deliver_subject": "_INBOX.x", "config": {"name": "MINE"}, "state": {}}
    with pytest.raises((nats.errors.NoRespondersError, TimeoutError)):
        await manager.request(f"$JS.API.{call}", json.dumps(body).encode(), timeout=QUIET_PERIOD_S)


@pytest.mark.parametrize(
    "call", ["STREAM.PURGE.MINE", "STREAM.DELETE.MINE", "STREAM.CREATE.EVIL", "CONSUMER.CREATE.MINE"]
)
async def test_acknowledgement_sent_to_the_api_changes_nothing(tenant, manager, call):
    """A stream acknowledges to any reply subject, in the account that it is in."""
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1)
    js = manager.jetstream()
    await js.add_stream(StreamConfig(name="MINE", subjects=["mine.a"]))
    for subject, stream in (("mine.a", "MINE"), (channel["subject"], "CHANNELS")):
        await manager.publish(subject, b"2", reply=f"$JS.API.{call.replace('MINE', stream)}")
    await manager.flush()
    await asyncio.sleep(QUIET_PERIOD_S)
    assert [each.config.name for each in await js.streams_info()] == ["MINE"]
    assert (await js.stream_info("MINE")).state.messages == 1
    assert [each["data"] for each in (await read_history(tenant, channel))["messages"]] == [1, 2]


async def test_own_streams_of_another_organization_are_out_of_reach(tenant, other_tenant):
    mine = (await (await tenant.create_client(permissions=MANAGE)).connect_nats()).jetstream(timeout=2)
    other = (await (await other_tenant.create_client(permissions=MANAGE)).connect_nats()).jetstream(timeout=2)
    await other.add_stream(StreamConfig(name="SECRET", subjects=["secret"], allow_direct=True))
    await other.publish("secret", b"x")
    for read in (
        mine.stream_info("SECRET"),
        mine.get_msg("SECRET", 1),
        mine.get_msg("SECRET", 1, direct=True),
    ):
        with pytest.raises((JetStreamError, nats.errors.Error)):
            await read
    await mine.add_stream(name="SECRET", subjects=["secret"])
    await mine.publish("secret", b"mine")
    assert (await mine.get_msg("SECRET", 1)).data == b"mine"
    assert (await other.stream_info("SECRET")).state.messages == 1


async def test_burst_of_calls_is_refused_and_leaves_other_organizations_alone(tenant, other_tenant):
    flooding = await (await tenant.create_client(permissions=MANAGE)).connect_nats()
    quiet = (await (await other_tenant.create_client(permissions=MANAGE)).connect_nats()).jetstream(timeout=5)
    await quiet.add_stream(StreamConfig(name="QUIET", subjects=["quiet"]))
    flooding._transport.write(b"PUB $JS.API.INFO _INBOX.flood 0\r\n\r\n" * 17_000)
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        await quiet.stream_info("QUIET")
    # Calls in a queue took longer: 17,000 of them 3 minutes at the rate of an organization.
    assert asyncio.get_running_loop().time() - began < 3

    async def is_over():
        with contextlib.suppress(JetStreamError, nats.errors.Error):
            return await flooding.jetstream(timeout=5).account_info()

    await eventually(is_over)
