"""Everything that speaks to the platform, with everything else: both SDKs, bare NATS and WebSocket, REST and events.

JavaScript's numbers are doubles: the TypeScript SDK rounds integers beyond 2**53, all others keep every digit.
"""

import pytest

from support.interop import (
    EventsPeer,
    NatsPeer,
    NodePeer,
    RestPeer,
    SdkPeer,
    SocketPeer,
    Target,
    as_json,
)
from support.node_sdk import missing_node, running_peer
from support.waiting import eventually

REASON = missing_node()
pytestmark = [pytest.mark.node, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
BIG = 2**53 + 1
VALUES = [
    {"grüße": "naïve \U0001f600 \u0000", "list": [None, True, 1.5, {}]},
    {"id": BIG},
    b"\x00\xff",
    "x" * 990_000,
]
HEADERS = {"Lang": "de"}


@pytest.fixture(scope="module")
async def node(sdk, tmp_path_factory):
    """A process of the TypeScript SDK."""
    async with running_peer(sdk, tmp_path_factory.mktemp("node")) as process:
        yield process


@pytest.fixture
async def peers(tenant, node):
    """One of each kind, by kind."""
    records = [await tenant.create_client() for _ in range(8)]
    opened = [
        await SdkPeer.open(records[0], "nats"),
        await SdkPeer.open(records[1], "websocket"),
        await NodePeer.open(records[2], node, "nats"),
        await NodePeer.open(records[3], node, "websocket"),
        await NatsPeer.open(records[4]),
        await SocketPeer.open(records[5]),
        await RestPeer.open(records[6]),
        await EventsPeer.open(records[7]),
    ]
    yield {peer.kind: peer for peer in opened}
    await opened[2].call("close")


@pytest.fixture(autouse=True)
async def strangers(other_tenant):
    """Clients of another organization, which subscribe to everything and hear nothing of this one."""
    heard = []

    async def hear(message):
        heard.append(message.subject)

    nc = await (await other_tenant.create_client()).connect_nats()
    await nc.subscribe(">", cb=hear)
    await nc.flush()
    socket = await (await other_tenant.create_client()).connect_websocket()
    await socket.subscribe(subject=">")
    yield
    await nc.flush()
    await socket.send_and_receive("ping", "pong")
    heard += [message["subject"] for message in socket.pending("message")]
    own = f"tenant.{other_tenant.id}.presence.", "presence.", "_"
    assert [subject for subject in heard if not subject.startswith(own)] == []


def those(peers, *names):
    """The peers that can do all of this."""
    return [peer for peer in peers.values() if all(hasattr(peer, name) for name in names)]


def expected(value, publisher, reader):
    if value == {"id": BIG} and "typescript" in f"{publisher.kind} {reader.kind}":
        return {"id": BIG - 1}
    return as_json(value)


async def check_matrix(target, publishers, readers):
    """Each publishes every kind of value to each; returns the places of the messages, by reader."""
    inboxes = [(reader, await reader.subscribe(target)) for reader in readers]
    places = {reader.kind: [] for reader in readers}
    for publisher in publishers:
        for value in VALUES:
            await publisher.publish(target, value, HEADERS)
        for reader, inbox in inboxes:
            received = await inbox.take(len(VALUES))
            way = f"{publisher.kind} to {reader.kind}"
            assert [each.data for each in received] == [expected(v, publisher, reader) for v in VALUES], way
            assert [each.headers for each in received] == [HEADERS] * len(VALUES), way
            places[reader.kind] += [each.seq for each in received]
    return places


async def test_a_subject_connects_all(peers):
    able = those(peers, "request")
    assert len(able) == 6
    await check_matrix(Target(subject="orders.new"), able, able)


async def test_a_channel_connects_all(peers, tenant):
    channel = Target(channel=(await tenant.create_channel())["channel_id"])
    publishers, readers = those(peers, "publish"), those(peers, "subscribe")
    readers.remove(peers["rest"])
    places = await check_matrix(channel, publishers, readers)
    # Bare NATS does not know places; a bare WebSocket learns them when it resumes.
    known = {kind: seqs for kind, seqs in places.items() if None not in seqs}
    assert known.keys() >= {
        "python-nats",
        "python-websocket",
        "typescript-nats",
        "typescript-websocket",
        "sse",
    }
    (same,) = {tuple(seqs) for seqs in known.values()}
    assert list(same) == sorted(set(same))


async def test_a_channel_is_resumed_by_all(peers, tenant):
    channel = Target(channel=(await tenant.create_channel())["channel_id"])
    await peers["python-nats"].publish(channel, "before")
    handled = await peers["python-nats"].publish(channel, "handled")
    names = [peer.kind for peer in those(peers, "publish")]
    for name in names:
        await peers[name].publish(channel, name)
    for kind in peers.keys() - {"nats-py"}:
        inbox = await peers[kind].subscribe(channel, after=handled)
        assert [each.data for each in await inbox.take(len(names))] == names, kind


async def test_a_queue_group_is_shared_by_all(peers):
    target, able = Target(subject="jobs"), those(peers, "request")
    members = [await peer.subscribe(target, queue="workers") for peer in able]
    observer = await peers["python-nats"].subscribe(target)
    count = 0
    for publisher in able:
        for _ in range(20):
            await publisher.publish(target, count)
            count += 1
    assert [each.data for each in await observer.take(count)] == list(range(count))

    async def shares():
        pending = [await member.pending() for member in members]
        return pending if sum(pending) >= count else None

    pending = await eventually(shares)
    shared = [await member.take(number) for member, number in zip(members, pending, strict=True)]
    assert sorted(each.data for share in shared for each in share) == list(range(count))
    assert all(shared), "a member without a message"


async def test_requests_of_all_are_answered_by_all(peers):
    able = those(peers, "request")
    for responder in able:
        subject = f"ask.{responder.kind}"
        await responder.respond(subject)
        for asker in able:
            reply = await asker.request(subject, {"from": asker.kind})
            assert reply == {"by": responder.kind, "q": {"from": asker.kind}}
