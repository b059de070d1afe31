"""Queue groups over WebSocket: one member receives each message, and none is lost while members come and go."""

import asyncio
from itertools import chain

import pytest

from artcafe_common.broker.subjects import BadQueue, resolve, validate_queue
from artcafe_gateway.bridges.connector import BridgeState
from support.fakes.ids import CHANNEL, CLIENT, TENANT
from support.fakes.peers import Peer
from support.waiting import eventually


@pytest.fixture
def peers(bridge, broker):
    return [Peer(bridge, broker) for _ in range(3)]


async def publish(broker, *subjects):
    for number, subject in enumerate(subjects):
        broker.route(subject, b"%d" % number)
    await asyncio.sleep(0)


def received(peers):
    """What each peer received since the last call."""
    return [[frame["data"] for frame in peer.send_queue.drain()] for peer in peers]


async def test_sockets_of_one_gateway_share_the_messages_of_a_group(peers, broker):
    for peer in peers:
        await peer.subscribe("jobs", "workers")
    await publish(broker, *[f"{TENANT}.jobs", f"tenant.{TENANT}.jobs"] * 3)
    shares = received(peers)
    assert sorted(chain(*shares)) == list(range(6))
    assert [len(share) for share in shares] == [2, 2, 2]


async def test_frames_and_usage_tell_of_the_group(peers, broker):
    await peers[0].subscribe("jobs", "workers")
    await peers[0].subscribe_channel(CHANNEL, "workers")
    (frame,) = await peers[0].receive(f"{TENANT}.jobs", b'"1234"')
    assert (frame["queue"], frame["subject"]) == ("workers", "jobs")
    (frame,) = await peers[0].receive(f"tenant.{TENANT}.channel.{CHANNEL}", b"12")
    assert (frame["queue"], frame["channel"]) == ("workers", CHANNEL)
    assert peers[0].usage.deliveries == {(CLIENT, ""): [1, 6], (CLIENT, CHANNEL): [1, 2]}
    assert peers[0].channel_subscribers.current == {(CLIENT, CHANNEL): 1}


async def test_plain_subscription_of_the_socket_is_apart_from_its_groups(peers, broker):
    both, member, _ = peers
    await both.subscribe("jobs.*")
    await both.subscribe("jobs.a")
    for peer in (both, member):
        await peer.subscribe("jobs.a", "workers")
    await publish(broker, *[f"{TENANT}.jobs.a"] * 4)
    frames = both.send_queue.drain()
    # Each message once for the plain subscriptions, and the socket's share of the group.
    assert [frame["data"] for frame in frames if "queue" not in frame] == [0, 1, 2, 3]
    share = [frame["data"] for frame in frames if frame.get("queue") == "workers"]
    (others,) = received([member])
    assert (sorted(share + others), len(share)) == ([0, 1, 2, 3], 2)
    await both.unsubscribe("jobs.a", "workers")
    await publish(broker, f"{TENANT}.jobs.a")
    assert received(peers) == [[0], [0], []]


async def test_spellings_of_one_name_are_one_member(peers, broker):
    twice, once, _ = peers
    for text in ("jobs", f"{TENANT}.jobs"):
        await twice.subscribe(text, "workers")
    await once.subscribe("jobs", "workers")
    await publish(broker, *[f"{TENANT}.jobs"] * 4)
    assert [len(share) for share in received([twice, once])] == [2, 2]
    # The other spelling remains in the group.
    await twice.unsubscribe("jobs", "workers")
    (frame,) = [each for _ in range(2) for each in await twice.receive(f"{TENANT}.jobs")]
    assert frame["subject"] == f"{TENANT}.jobs"


async def test_message_between_the_brokers_confirmation_and_ours_is_delivered(peers, broker):
    await peers[0].subscriptions.subscribe("jobs", resolve(TENANT, "jobs", wildcards=True), "workers")
    await publish(broker, *[f"{TENANT}.jobs"] * 2)
    assert received(peers[:1]) == [[]]
    peers[0].subscriptions.activate("jobs")
    await publish(broker, f"{TENANT}.jobs")
    assert received(peers[:1]) == [[0, 1, 0]]


async def test_message_that_arrives_while_a_member_leaves_is_delivered(peers, broker):
    await peers[0].subscribe("jobs", "workers")
    broker.pause()
    leaving = asyncio.create_task(peers[0].unsubscribe("jobs", "workers"))
    await asyncio.sleep(0)
    # The broker has not received the UNSUB yet.
    await publish(broker, f"{TENANT}.jobs")
    assert received(peers[:1]) == [[0]]
    broker.resume()
    await leaving
    await publish(broker, f"{TENANT}.jobs")
    assert received(peers[:1]) == [[]]
    assert (broker.subjects, peers[0].bridge.subscription_count) == ([], 0)


async def test_sockets_leave_their_groups_before_they_are_closed(peers, broker):
    for peer in peers[:2]:
        await peer.subscribe("jobs", "workers")
    await peers[0].subscriptions.leave_groups()
    await publish(broker, *[f"{TENANT}.jobs"] * 3)
    assert received(peers[:2]) == [[], [0, 1, 2]]
    await peers[0].subscriptions.unsubscribe_all()
    await peers[1].subscriptions.unsubscribe_all()
    await peers[0].bridge.flush()
    assert broker.subjects == []


async def test_closed_socket_leaves_at_once(peers, broker):
    for peer in peers[:2]:
        await peer.subscribe("jobs", "workers")
    # As a slow consumer: it takes nothing any more.
    peers[0].send_queue.open = False
    await peers[0].subscriptions.unsubscribe_all()
    await peers[1].bridge.flush()
    await publish(broker, *[f"{TENANT}.jobs"] * 3)
    assert received(peers[:2]) == [[], [0, 1, 2]]
    assert peers[0].usage.deliveries == {}


async def test_members_are_in_the_group_after_a_reconnect(peers, broker, bridge):
    for peer in peers[:2]:
        await peer.subscribe("jobs", "workers")
    await broker.restart()
    await eventually(lambda: bridge.state is BridgeState.CONNECTED, every=0.001)
    await publish(broker, *[f"{TENANT}.jobs"] * 4)
    assert [len(share) for share in received(peers[:2])] == [2, 2]


@pytest.mark.parametrize("name", ["", " ", "a b", "a\r\n", "a..b", "*", "a.>", "x" * 256, "\x00"])
def test_malformed_names_are_rejected(name):
    with pytest.raises(BadQueue, match="queue group"):
        validate_queue(name)


@pytest.mark.parametrize("name", ["workers", "orders.workers", "Größe", "x" * 255])
def test_names_like_subjects_are_accepted(name):
    validate_queue(name)
