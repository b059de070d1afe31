"""A socket's subscriptions: each message once, in the form of the client's own names."""

import asyncio
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artcafe_common.broker.subjects import matches, resolve
from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_gateway.bridges import connector
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connector import BridgeState
from artcafe_gateway.delivery.message import agent_message_frame
from artcafe_gateway.errors import BrokerUnavailable
from artcafe_gateway.settings import Settings
from support.fakes.broker import BRIDGE_CREDENTIALS, FakeBroker
from support.fakes.bus import FakeBus
from support.fakes.ids import CHANNEL, CLIENT, SIGNING_KEYS, TENANT
from support.fakes.peers import Peer
from support.waiting import eventually


@pytest.fixture
def peer(bridge, broker):
    return Peer(bridge, broker)


async def test_nothing_is_delivered_before_activation(peer):
    await peer.subscriptions.subscribe("a", resolve(TENANT, "a", wildcards=True))
    assert await peer.receive(f"{TENANT}.a") == []
    peer.subscriptions.activate("a")
    assert len(await peer.receive(f"{TENANT}.a")) == 1


async def test_both_raw_subjects_of_a_name_are_delivered(peer):
    await peer.subscribe("a")
    assert peer.broker.subjects == [f"{TENANT}.a", f"tenant.{TENANT}.a"]
    for subject in peer.broker.subjects:
        assert await peer.subjects(subject) == ["a"]


@pytest.mark.parametrize("text", ["a", f"{TENANT}.a", f"tenant.{TENANT}.a"])
async def test_subject_is_delivered_in_the_form_of_the_subscription(peer, text):
    await peer.subscribe(text)
    for subject in (f"{TENANT}.a", f"tenant.{TENANT}.a"):
        assert await peer.subjects(subject) == [text]


async def test_three_forms_of_one_name_deliver_once_in_the_first_form(peer):
    forms = ["a", f"{TENANT}.a", f"tenant.{TENANT}.a"]
    for text in forms:
        await peer.subscribe(text)
    assert await peer.subjects(f"{TENANT}.a") == [forms[0]]
    for number in (0, 1):
        await peer.unsubscribe(forms[number])
        assert await peer.subjects(f"{TENANT}.a") == [forms[number + 1]]
    await peer.unsubscribe(forms[2])
    assert await peer.subjects(f"{TENANT}.a") == []


async def test_subscribing_twice_delivers_once(peer):
    for _ in range(3):
        await peer.subscribe("a")
    assert len(await peer.receive(f"{TENANT}.a")) == 1
    await peer.unsubscribe("a")
    assert await peer.receive(f"{TENANT}.a") == []
    assert peer.bridge.subscription_count == 0


@pytest.mark.parametrize("order", list(itertools.permutations(["a.b", "a.*", "a.>"])))
async def test_overlapping_subscriptions_deliver_once(peer, order):
    for text in order:
        await peer.subscribe(text)
    assert await peer.subjects(f"{TENANT}.a.b") == ["a.b"]
    assert await peer.subjects(f"{TENANT}.a.c") == ["a.c"]
    assert await peer.subjects(f"{TENANT}.a.b.c") == ["a.b.c"]


@pytest.mark.parametrize("order", list(itertools.permutations(["a.b", "a.*", "a.>"])))
async def test_remaining_subscriptions_take_over_the_messages(peer, order):
    for text in order:
        await peer.subscribe(text)
    left = list(order)
    for text in order:
        await peer.unsubscribe(text)
        left.remove(text)
        for subject in ("a.b", "a.c", "a.b.c"):
            expected = [subject] if any(matches(each, subject) for each in left) else []
            assert await peer.subjects(f"{TENANT}.{subject}") == expected, (text, subject)
    await peer.bridge.flush()
    assert peer.broker.subjects == []


async def test_other_subjects_are_not_delivered(peer):
    await peer.subscribe("a.*")
    for subject in ("a", "a.b.c", "b.a", "A.b"):
        assert await peer.receive(f"{TENANT}.{subject}") == []


async def test_unsubscribing_an_unknown_name_is_ignored(peer):
    await peer.subscribe("a")
    await peer.unsubscribe("b")
    assert len(await peer.receive(f"{TENANT}.a")) == 1


async def test_unsubscribe_all_leaves_nothing_at_the_broker(peer):
    for text in ("a.b", "a.*", "a.>", f"tenant.{TENANT}.x"):
        await peer.subscribe(text)
    await peer.subscribe_channel(CHANNEL)
    await peer.subscriptions.unsubscribe_all()
    await peer.bridge.flush()
    assert (peer.broker.subjects, peer.bridge.subscription_count) == ([], 0)
    assert peer.subscriptions.names == {}
    assert peer.channel_subscribers.current == {}


async def test_failed_subscribe_leaves_nothing_behind(peer, broker):
    await peer.subscribe("a.b")
    broker.down = True
    await broker.restart()
    with pytest.raises(BrokerUnavailable):
        await peer.subscriptions.subscribe("a.*", resolve(TENANT, "a.*", wildcards=True))
    assert list(peer.subscriptions.names) == ["a.b"]
    assert peer.bridge.subscription_count == 2


async def test_sockets_of_one_bridge_are_independent(peer, bridge, broker):
    other = Peer(bridge, broker)
    await peer.subscribe("a")
    await other.subscribe("a")
    await peer.unsubscribe("a")
    assert await peer.receive(f"{TENANT}.a") == []
    assert len(await other.receive(f"{TENANT}.a")) == 1


async def test_deliveries_are_recorded_once_with_their_bytes(peer):
    for text in ("a.b", "a.*"):
        await peer.subscribe(text)
    await peer.subscribe_channel(CHANNEL)
    await peer.receive(f"{TENANT}.a.b", b'"1234"')
    await peer.receive(f"{TENANT}.a.c", b'"5"')
    await peer.receive(f"tenant.{TENANT}.channel.{CHANNEL}", b"12")
    assert peer.usage.deliveries == {(CLIENT, ""): [2, 9], (CLIENT, CHANNEL): [1, 2]}


async def test_delivery_to_a_closed_socket_is_not_recorded(peer):
    for text in ("a.b", "a.*"):
        await peer.subscribe(text)
    peer.send_queue.open = False
    await peer.receive(f"{TENANT}.a.b")
    await peer.receive(f"{TENANT}.a.c")
    assert peer.usage.deliveries == {}


async def test_channel_is_reported_once_for_all_its_names(peer):
    subject = f"tenant.{TENANT}.channel.{CHANNEL}"
    await peer.subscribe_channel(CHANNEL)
    await peer.subscribe(subject)
    assert peer.channel_subscribers.added == [(CLIENT, CHANNEL)]
    assert len(await peer.receive(subject)) == 1
    await peer.unsubscribe(CHANNEL)
    assert peer.channel_subscribers.current == {(CLIENT, CHANNEL): 1}
    assert len(await peer.receive(subject)) == 1
    await peer.unsubscribe(subject)
    assert peer.channel_subscribers.current == {}


async def test_other_frames_are_rendered_from_now_on(peer):
    for text in ("a.b", "a.*"):
        await peer.subscribe(text)
    peer.subscriptions.render_as("agent", agent_message_frame)
    for subject in ("a.b", "a.c"):
        (frame,) = await peer.receive(f"{TENANT}.{subject}", b"5")
        assert (frame["message"], "data" in frame) == (5, False)


async def test_received_request_allows_a_reply(peer):
    for text in ("a.b", "a.*"):
        await peer.subscribe(text)
    await peer.receive(f"{TENANT}.a.b", reply="_INBOX.1")
    await peer.receive(f"{TENANT}.a.c", reply="_INBOX.2")
    await peer.receive(f"{TENANT}.a.c", reply="None")
    assert len(peer.subscriptions.reply_subjects) == 2
    assert peer.subscriptions.reply_subjects.take("_INBOX.1")
    assert peer.subscriptions.reply_subjects.take("_INBOX.2")


async def test_subscriptions_deliver_once_after_a_reconnect(peer, broker, bridge):
    for text in ("a.b", "a.*"):
        await peer.subscribe(text)
    await broker.restart()
    await eventually(lambda: bridge.state is BridgeState.CONNECTED, every=0.001)
    assert await peer.subjects(f"{TENANT}.a.b") == ["a.b"]
    assert await peer.subjects(f"{TENANT}.a.c") == ["a.c"]


# -- every order of subscribing and unsubscribing --------------------------------------------------

NAMES = ("a.b", "a.*", "a.>", "*.b", "c")
SUBJECTS = ("a.b", "a.c", "a.b.c", "d.b", "c", "d")
STEPS = st.lists(
    st.tuples(st.sampled_from(["subscribe", "unsubscribe"]), st.sampled_from(NAMES)), max_size=14
)


async def check(steps):
    broker, bus = FakeBroker(), FakeBus({IssueBridgeCredentials: BRIDGE_CREDENTIALS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connector, "BridgeConnection", broker.create_connection)
        bridge = Bridge(tenant_id=TENANT, bus=bus, settings=Settings(), signing_keys=SIGNING_KEYS)
        await bridge.open()
        peer, subscribed = Peer(bridge, broker), set()
        for action, name in steps:
            if action == "subscribe":
                await peer.subscribe(name)
                subscribed.add(name)
            else:
                await peer.unsubscribe(name)
                subscribed.discard(name)
            for subject in SUBJECTS:
                expected = [subject] if any(matches(each, subject) for each in subscribed) else []
                for raw in (f"{TENANT}.{subject}", f"tenant.{TENANT}.{subject}"):
                    assert await peer.subjects(raw) == expected, (steps, action, name, subject)
        await peer.subscriptions.unsubscribe_all()
        assert bridge.subscription_count == 0
        await bridge.close()


@example(
    [("subscribe", NAMES[0]), ("subscribe", NAMES[1]), ("unsubscribe", NAMES[0]), ("subscribe", NAMES[1])]
)
@given(STEPS)
def test_each_message_is_delivered_once_after_any_changes(steps):
    asyncio.run(check(steps))
