"""Pages of a channel's history, positions in it, and acknowledged publishing."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.broker.subjects import HISTORY_STREAM, REPUBLISH_PREFIX
from artcafe_common.bus.errors import InvalidCursor, InvalidRequest
from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_common.cursors import CursorCodec
from artcafe_gateway.bridges import connector
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.errors import BrokerUnavailable, HistoryUnavailable
from artcafe_gateway.history import acks as acks_module
from artcafe_gateway.history.reader import HistoryQuery, HistoryReader, find_replay_position
from artcafe_gateway.history.stream import DIRECT_GET_SUBJECT
from artcafe_gateway.settings import Settings
from support.fakes.broker import BRIDGE_CREDENTIALS, FakeBroker
from support.fakes.bus import FakeBus
from support.fakes.history import START, FakeHistory
from support.fakes.ids import CHANNEL, TENANT

SUBJECT = f"tenant.{TENANT}.channel.{CHANNEL}"
OTHER_SUBJECT = f"tenant.{TENANT}.channel.other"
CURSORS = CursorCodec(b"k" * 32)


@pytest.fixture
def history(broker):
    return FakeHistory(broker)


@pytest.fixture
def reader():
    return HistoryReader(CURSORS)


def fill(history, count):
    for number in range(1, count + 1):
        history.append(OTHER_SUBJECT, b"0")
        history.append(SUBJECT, b"%d" % number)


async def read(reader, bridge, **query):
    return await reader.read_page(bridge, CHANNEL, SUBJECT, HistoryQuery(**query))


def numbers(page):
    return [int(message.data) for message in page.messages]


async def test_pages_contain_each_message_once_in_order(reader, bridge, history):
    fill(history, 10)
    found, cursor = [], None
    while True:
        page = await read(reader, bridge, limit=3, cursor=cursor)
        found += numbers(page)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == list(range(1, 11))


async def test_page_starts_at_a_position(reader, bridge, history):
    fill(history, 10)
    assert numbers(await read(reader, bridge, last=2)) == [9, 10]
    assert numbers(await read(reader, bridge, since="17")) == [9, 10]
    assert numbers(await read(reader, bridge, since=START.replace(second=19).isoformat())) == [10]
    assert numbers(await read(reader, bridge, last=100, limit=4)) == [1, 2, 3, 4]


async def test_empty_channel_has_an_empty_page(reader, bridge, history):
    page = await read(reader, bridge)
    assert (page.messages, page.next_cursor) == ([], None)


async def test_messages_published_between_pages_are_included(reader, bridge, history):
    fill(history, 3)
    page = await read(reader, bridge, limit=2)
    history.append(SUBJECT, b"4")
    assert numbers(await read(reader, bridge, cursor=page.next_cursor)) == [3, 4]


async def test_cursor_is_valid_for_its_channel_only(reader, bridge, history):
    fill(history, 3)
    cursor = (await read(reader, bridge, limit=1)).next_cursor
    with pytest.raises(InvalidCursor):
        await reader.read_page(bridge, "other", OTHER_SUBJECT, HistoryQuery(cursor=cursor))


@pytest.mark.parametrize(
    "query",
    [
        {"since": "1", "last": 1},
        {"since": "soon"},
        {"since": "2026-01-01"},
        {"since": "9" * 30},
        {"since": "-1"},
    ],
)
async def test_invalid_position_is_rejected(reader, bridge, history, query):
    with pytest.raises(InvalidRequest):
        await read(reader, bridge, **query)


async def test_tenant_without_history_is_an_error(reader, bridge, broker):
    broker.responders[DIRECT_GET_SUBJECT] = lambda _: [(b"", {"Status": "503"})]
    with pytest.raises(HistoryUnavailable):
        await read(reader, bridge)


async def replay_position(messages, last):
    """The numbers after the replay position, of a channel whose messages alternate with others."""
    broker, bus = FakeBroker(), FakeBus({IssueBridgeCredentials: BRIDGE_CREDENTIALS})
    history = FakeHistory(broker)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connector, "BridgeConnection", broker.create_connection)
        bridge = Bridge(tenant_id=TENANT, bus=bus, settings=Settings())
        await bridge.open()
        for mine in messages:
            history.append(SUBJECT if mine else OTHER_SUBJECT, b"")
        position = await find_replay_position(bridge, SUBJECT, HistoryQuery(last=last))
        await bridge.close()
    stored = [seq for seq, subject, _ in history.stored if subject == SUBJECT]
    return [seq for seq in stored if seq > position.after_seq], stored


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 12))
def test_replay_position_is_exactly_the_last_messages(messages, last):
    found, stored = asyncio.run(replay_position(messages, last))
    assert found == stored[-last:]


# -- acknowledged publishing -----------------------------------------------------------------------


class Stream:
    """Stores and acknowledges every message of a channel."""

    def __init__(self, broker, history):
        self._broker = broker
        self._history = history
        self.stream = HISTORY_STREAM
        self.acknowledges = True
        route = broker.route

        def acknowledge(subject, payload, headers=b"", reply=""):
            route(subject, payload, headers, reply)
            if subject == SUBJECT and reply and self.acknowledges:
                seq = history.append(subject, payload)
                route(reply, b'{"stream":"%b","seq":%d}' % (self.stream.encode(), seq))

        broker.route = acknowledge


@pytest.fixture
def stream(broker, history, monkeypatch):
    monkeypatch.setattr(acks_module, "ACK_TIMEOUT_S", 0.02)
    return Stream(broker, history)


async def publish(reader, bridge, payload):
    return await reader.publish(bridge, SUBJECT, payload, b"", channel_id=CHANNEL)


async def test_publish_returns_the_sequence_number(reader, bridge, stream):
    assert [await publish(reader, bridge, b"1") for _ in range(3)] == [1, 2, 3]


async def test_concurrent_publishes_get_their_own_sequence_numbers(reader, bridge, stream, history):
    # known fault: without this, each concurrent first publish opens a subscription of its own.
    await publish(reader, bridge, b"first")
    payloads = [b"%d" % number for number in range(20)]
    seqs = await asyncio.gather(*(publish(reader, bridge, payload) for payload in payloads))
    stored = {seq: payload for seq, _, payload in history.stored}
    assert [stored[seq] for seq in seqs] == payloads
    assert bridge.subscription_count == 1


async def test_message_that_is_not_acknowledged_is_published_without_a_number(reader, bridge, stream):
    stream.acknowledges = False
    assert await publish(reader, bridge, b"1") is None


async def test_acknowledgement_of_another_stream_is_ignored(reader, bridge, stream):
    stream.stream = "OTHER"
    assert await publish(reader, bridge, b"1") is None


async def test_forged_acknowledgement_is_ignored(reader, bridge, broker, stream):
    stream.acknowledges = False
    task = asyncio.create_task(publish(reader, bridge, b"1"))
    await asyncio.sleep(0.005)
    for payload in (b"", b"{", b"[]", b'{"stream":"CHANNELS"}', b'{"seq":1}'):
        for subject in broker.subjects:
            broker.route(subject.replace("*", "0"), payload)
    assert await task is None


async def test_channel_without_history_is_published_without_acknowledgement(reader, bridge, broker):
    broker.responders[DIRECT_GET_SUBJECT] = lambda _: [(b"", {"Status": "503"})]
    assert await publish(reader, bridge, b"1") is None
    assert broker.received[-1] == (SUBJECT, b"1")
    assert reader.has_cached_acks(bridge)
    assert reader.cached_acks(bridge) is None
    assert bridge.subscription_count == 0


async def test_acknowledgements_use_one_subscription_outside_the_tenants_subjects(
    reader, bridge, broker, stream
):
    await publish(reader, bridge, b"1")
    (subject,) = broker.subjects
    assert subject.startswith(f"{REPUBLISH_PREFIX}.")


async def test_publish_without_a_connection_is_an_error(reader, bridge, broker, stream):
    await publish(reader, bridge, b"1")
    broker.down = True
    await broker.restart()
    with pytest.raises(BrokerUnavailable):
        await publish(reader, bridge, b"1")
