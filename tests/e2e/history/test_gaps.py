"""A client that resumes from what is no longer stored is told what is missing."""

from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_common.contracts.tenancy.history import MESSAGES_PER_CHANNEL
from support.activity import wait_for_entries
from support.history import publish, wait_until_stored
from support.streams_account import enter_streams_account
from support.waiting import eventually


async def resume(client, channel, since):
    """Subscribe; returns the socket, and whether `subscribed` tells of a gap."""
    socket = await client.connect_websocket()
    subscribed = await socket.subscribe(channel=channel["channel_id"], since=since)
    return socket, subscribed.get("gap", False)


def frames_after_subscribed(socket):
    types = [frame["type"] for frame in socket.received]
    return socket.received[types.index("subscribed") + 1 :]


async def test_full_channel_and_purged_stream_are_told(tenant):
    channel, quiet = await tenant.create_channel(), await tenant.create_channel()
    client = await tenant.create_client()
    first, *_ = [each["seq"] for each in await publish(tenant, channel, 0, 1, 2)]
    (quiet_seq,) = [each["seq"] for each in await publish(tenant, quiet, "q")]
    nc = await client.connect_nats()
    for number in range(3, MESSAGES_PER_CHANNEL + 2):
        await nc.publish(channel["subject"], b"%d" % number)
    last_seq = await wait_until_stored(tenant, channel, MESSAGES_PER_CHANNEL + 1)
    # The channel keeps 10,000 messages; the first two are gone.
    socket, gap = await resume(client, channel, first)
    assert gap
    message = await socket.receive("message")
    assert (message["seq"], message["data"]) == (first + 2, 2)
    assert frames_after_subscribed(socket)[:2] == [
        {"type": "gap", "channel": channel["channel_id"], "from_seq": first, "to_seq": first + 1},
        message,
    ]
    for since in (first + 2, first + 3, last_seq, last_seq + 1):
        socket, gap = await resume(client, channel, since)
        assert not gap
    # Another channel of the same stream has lost nothing.
    _, gap = await resume(client, quiet, quiet_seq + 1)
    assert not gap

    js = await enter_streams_account(tenant)
    await js.purge_stream(HISTORY_STREAM)
    socket, gap = await resume(client, channel, last_seq)
    assert gap
    _, gap = await resume(client, channel, last_seq + 1)
    assert not gap
    (seq,) = [each["seq"] for each in await publish(tenant, channel, "new")]
    message = await socket.receive("message")
    assert (message["seq"], message["data"]) == (seq, "new")
    (told,) = socket.pending("gap")
    assert (told["from_seq"], told["to_seq"]) == (last_seq, last_seq)
    socket, gap = await resume(client, channel, "2020-01-01T00:00:00Z")
    assert gap
    await socket.receive("message")
    assert [frame["type"] for frame in frames_after_subscribed(socket)][:2] == ["gap", "message"]


async def test_purged_channel_is_told(tenant):
    channel, quiet = await tenant.create_channel(), await tenant.create_channel()
    path = f"/channels/{channel['channel_id']}"
    # The stream keeps an older message of another channel.
    await publish(tenant, quiet, "q")
    seqs = [each["seq"] for each in await publish(tenant, channel, 0, 1, 2)]
    storage = await tenant.call("GET", f"{path}/storage", 200)
    assert (storage["messages"], storage["first_seq"], storage["last_seq"]) == (3, seqs[0], seqs[2])
    assert storage["last_minute"] == 3
    assert storage["first_at"] <= storage["last_at"]
    client = await tenant.create_client()
    purged = await tenant.call("POST", f"{path}/purge", 200)
    assert purged["purged_seq"] == seqs[2]
    assert (await tenant.call("GET", f"{path}/storage", 200))["messages"] == 0
    assert (await tenant.call("GET", f"/channels/{quiet['channel_id']}/storage", 200))["messages"] == 1

    async def is_told():
        socket, gap = await resume(client, channel, seqs[1])
        await socket.close()
        return gap

    # The gateway learns of the purge by an event.
    await eventually(is_told)
    socket, _ = await resume(client, channel, seqs[1])
    told = await socket.receive("gap")
    assert (told["from_seq"], told["to_seq"]) == (seqs[1], seqs[2])
    (seq,) = [each["seq"] for each in await publish(tenant, channel, "new")]
    message = await socket.receive("message")
    assert (message["seq"], message["data"]) == (seq, "new")
    for since, expected in ((purged["created_at"], True), (seqs[2] + 1, False), (purged["purged_at"], False)):
        _, gap = await resume(client, channel, since)
        assert gap is expected, since
    # Again: nothing that is stored later is lost by an old purge.
    assert (await tenant.call("POST", f"{path}/purge", 200))["purged_seq"] == seq
    assert (await tenant.call("POST", f"{path}/purge", 200))["purged_seq"] == seq
    await wait_for_entries(tenant, 3, action="channel.purged")


async def test_stream_that_was_lost_is_told(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    await publish(tenant, channel, 0)
    socket, gap = await resume(client, channel, 41)
    assert gap
    told = await socket.receive("gap")
    assert (told["from_seq"], told["to_seq"]) == (2, 40)
    await publish(tenant, channel, 1)
    assert (await socket.receive("message"))["data"] == 1
