"""Fan-out: rendered once per group, one write per socket and loop turn, in order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_gateway.delivery import fanout
from artcafe_gateway.delivery.fanout import (
    EARLY_FLUSH_BYTES,
    REPETITION_PERIOD_S,
    BrokerSubscription,
    NaiveRenderGroup,
    RenderGroup,
)
from artcafe_gateway.delivery.message import message_frame
from support.fakes.clock import FakeClock
from support.fakes.ids import CHANNEL, CLIENT, OTHER_CLIENT, SIGNER, TENANT
from support.fakes.sockets import FakeSendQueue

SUBJECT = f"{TENANT}.a"


class Member:
    """A subscriber that records deliveries and requests."""

    def __init__(self):
        self.send_queue = FakeSendQueue()
        self.delivered = {}
        self.replies = []

    def on_delivered(self, counts):
        for channel, (messages, size) in counts.items():
            total = self.delivered.setdefault(channel, [0, 0])
            total[0] += messages
            total[1] += size

    def on_request(self, message):
        self.replies.append(message.reply)

    @property
    def received(self):
        return [frame["data"] for frame in self.send_queue.frames]


class Listener:
    def __init__(self, on_deliver=None):
        self.received = []
        self._on_deliver = on_deliver

    def deliver(self, message):
        self.received.append(int(message.data))
        if self._on_deliver is not None:
            self._on_deliver()


@pytest.fixture
def subscription():
    return BrokerSubscription(SIGNER, RenderGroup)


def join(subscription, member, key=("message", "bare"), *, form=lambda _: "a", render=message_frame):
    subscription.add_subscriber(key, member, form, render)


def send(subscription, *numbers, subject=SUBJECT, reply=""):
    for number in numbers:
        subscription.on_message(subject, reply, b"%d" % number, b"")


async def end_of_turn():
    await asyncio.sleep(0)


async def test_message_is_rendered_once_for_a_group(subscription):
    members, rendered = [Member() for _ in range(50)], []

    def render(message, subject):
        rendered.append(subject)
        return message_frame(message, subject)

    for member in members:
        join(subscription, member, render=render)
    send(subscription, 1)
    await end_of_turn()
    assert rendered == ["a"]
    assert all(member.received == [1] for member in members)


async def test_messages_of_one_turn_are_one_write_in_order(subscription):
    member = Member()
    join(subscription, member)
    send(subscription, *range(100))
    assert member.received == []
    await end_of_turn()
    assert member.received == list(range(100))
    assert member.send_queue.writes == 1


async def test_messages_of_different_turns_stay_in_order(subscription):
    member = Member()
    join(subscription, member)
    for number in range(10):
        send(subscription, number)
        await end_of_turn()
    assert member.received == list(range(10))


async def test_groups_have_their_own_rendering(subscription):
    bare, full = Member(), Member()
    join(subscription, bare)
    join(subscription, full, ("message", "full"), form=lambda subject: f"tenant.{subject}")
    send(subscription, 1)
    await end_of_turn()
    assert [each.send_queue.frames[0]["subject"] for each in (bare, full)] == ["a", f"tenant.{SUBJECT}"]


async def test_new_subscriber_receives_no_earlier_message(subscription):
    first, second = Member(), Member()
    join(subscription, first)
    send(subscription, 1)
    join(subscription, second)
    send(subscription, 2)
    await end_of_turn()
    assert (first.received, second.received) == ([1, 2], [2])


async def test_removed_subscriber_receives_what_came_before_and_nothing_after(subscription):
    leaving, staying = Member(), Member()
    for member in (leaving, staying):
        join(subscription, member)
    send(subscription, 1)
    subscription.remove_subscriber(("message", "bare"), leaving)
    send(subscription, 2)
    await end_of_turn()
    assert (leaving.received, staying.received) == ([1], [1, 2])


async def test_last_subscriber_of_a_group_can_return(subscription):
    member = Member()
    join(subscription, member)
    subscription.remove_subscriber(("message", "bare"), member)
    send(subscription, 1)
    join(subscription, member)
    send(subscription, 2)
    await end_of_turn()
    assert member.received == [2]


async def test_removing_an_unknown_subscriber_is_ignored(subscription):
    subscription.remove_subscriber(("message", "bare"), Member())
    member = Member()
    join(subscription, member)
    subscription.remove_subscriber(("message", "bare"), Member())
    send(subscription, 1)
    await end_of_turn()
    assert member.received == [1]


async def test_much_data_is_written_before_the_turn_ends(subscription):
    member = Member()
    join(subscription, member)
    payload = b'"%b"' % (b"x" * 10_000)
    for _ in range(EARLY_FLUSH_BYTES // 10_000 + 1):
        subscription.on_message(SUBJECT, "", payload, b"")
    assert member.send_queue.writes == 1
    await end_of_turn()
    assert len(member.received) == EARLY_FLUSH_BYTES // 10_000 + 1


async def test_deliveries_are_counted_by_channel(subscription):
    member = Member()
    join(subscription, member)
    send(subscription, 1, 22)
    send(subscription, 333, subject=f"tenant.{TENANT}.channel.{CHANNEL}")
    await end_of_turn()
    assert member.delivered == {"": [2, 3], CHANNEL: [1, 3]}


async def test_closed_socket_counts_no_delivery_and_disturbs_no_other(subscription):
    closed, open_ = Member(), Member()
    closed.send_queue.open = False
    for member in (closed, open_):
        join(subscription, member)
    send(subscription, 1)
    await end_of_turn()
    assert closed.delivered == {}
    assert (open_.received, open_.delivered) == ([1], {"": [1, 1]})


async def test_request_reaches_every_subscriber_of_the_group(subscription):
    members = [Member(), Member()]
    for member in members:
        join(subscription, member)
    send(subscription, 1, reply="_INBOX.x")
    send(subscription, 2, reply="None")
    await end_of_turn()
    assert [member.replies for member in members] == [["_INBOX.x"]] * 2


async def test_listener_receives_each_message_at_once(subscription):
    listener = Listener()
    subscription.listeners[listener] = None
    send(subscription, 1, 2)
    assert listener.received == [1, 2]


async def test_listener_may_leave_during_delivery(subscription):
    other = Listener()
    leaving = Listener(lambda: subscription.listeners.pop(leaving, None))
    subscription.listeners |= {leaving: None, other: None}
    send(subscription, 1, 2)
    assert (leaving.received, other.received) == ([1], [1, 2])


async def test_naive_group_delivers_the_same_frames():
    members = []
    for group_type in (RenderGroup, NaiveRenderGroup):
        subscription, member = BrokerSubscription(SIGNER, group_type), Member()
        join(subscription, member)
        send(subscription, *range(20))
        for _ in range(50):
            await end_of_turn()
        for group in subscription._groups.values():
            if isinstance(group, NaiveRenderGroup):
                group._task.cancel()
        members.append(member)
    assert members[0].received == members[1].received == list(range(20))
    assert members[0].delivered == members[1].delivered


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, 3)),
        st.tuples(st.just("send"), st.integers(1, 3)),
        st.just(("turn", 0)),
    ),
    max_size=40,
)


async def deliver(steps):
    """What each of four members received, and what it was subscribed to."""
    subscription = BrokerSubscription(SIGNER, RenderGroup)
    # Two groups with two members each.
    members, joined, expected, number = [Member() for _ in range(4)], set(), [[] for _ in range(4)], 0
    for kind, value in steps:
        key = ("message", f"group {value % 2}")
        if kind == "join" and value not in joined:
            join(subscription, members[value], key)
            joined.add(value)
        elif kind == "leave" and value in joined:
            subscription.remove_subscriber(key, members[value])
            joined.remove(value)
        elif kind == "send":
            for _ in range(value):
                number += 1
                send(subscription, number)
                for each in joined:
                    expected[each].append(number)
        elif kind == "turn":
            await end_of_turn()
    await end_of_turn()
    return [member.received for member in members], [member.delivered for member in members], expected


@given(STEPS)
def test_members_receive_exactly_the_messages_of_their_membership(steps):
    received, delivered, expected = asyncio.run(deliver(steps))
    assert received == expected
    assert [counts.get("", [0])[0] for counts in delivered] == [len(each) for each in expected]


# -- repeated messages -----------------------------------------------------------------------------


async def test_message_with_the_same_unique_id_is_dispatched_once(subscription, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(fanout, "time", clock)
    listener = Listener()
    subscription.listeners[listener] = None

    def publish(data, message_id=None, *, sender=CLIENT):
        unique_id = SIGNER.unique_id(sender, "a", message_id or "")
        headers = {"Nats-Msg-Id": unique_id} if message_id else None
        subscription.on_message("a", "", data, SIGNER.sign(sender, "a", data, headers))

    for data in (b"1", b"2"):
        publish(data, "x")
    publish(b"3", "y")
    publish(b"4", "x", sender=OTHER_CLIENT)
    for _ in range(2):
        publish(b"5")
        # The header of a direct publisher swallows nothing.
        subscription.on_message("a", "", b"6", b"NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n")
    assert listener.received == [1, 3, 4, 5, 6, 5, 6]
    clock.advance(REPETITION_PERIOD_S + 1)
    publish(b"7", "x")
    assert listener.received[-1] == 7


async def test_remembered_unique_ids_are_bounded(subscription, monkeypatch):
    monkeypatch.setattr(fanout, "MAX_UNIQUE_IDS", 10)
    for number in range(50):
        headers = {"Nats-Msg-Id": SIGNER.unique_id(CLIENT, "a", str(number))}
        subscription.on_message("a", "", b"1", SIGNER.sign(CLIENT, "a", b"1", headers))
    assert len(subscription._unique_ids) == 10
