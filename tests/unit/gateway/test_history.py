"""Pages of a channel's history, positions in it, and acknowledged publishing."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.broker.subjects import ACK_PREFIX, HISTORY_STREAM
from artcafe_common.bus.errors import InvalidCursor, InvalidRequest
from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_common.contracts.tenancy.channels import Channel
from artcafe_common.cursors import CursorCodec
from artcafe_common.key_ring import KeyRing
from artcafe_gateway.bridges import connector
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connector import BridgeState
from artcafe_gateway.delivery.message import UNIQUE_ID_HEADER
from artcafe_gateway.errors import BrokerUnavailable, HistoryUnavailable, PublishUncertain, StreamUnavailable
from artcafe_gateway.history import acks as acks_module
from artcafe_gateway.history import reader as reader_module
from artcafe_gateway.history.reader import HistoryQuery, HistoryReader, StoredMessages, find_replay_position
from artcafe_gateway.history.stream import DIRECT_GET_SUBJECT
from artcafe_gateway.settings import Settings
from support.fakes.broker import BRIDGE_CREDENTIALS, FakeBroker
from support.fakes.bus import FakeBus
from support.fakes.history import START, FakeHistory
from support.fakes.ids import CHANNEL, SIGNING_KEYS, TENANT
from support.waiting import eventually

SUBJECT = f"tenant.{TENANT}.channel.{CHANNEL}"
OTHER_SUBJECT = f"tenant.{TENANT}.channel.other"
STORED = StoredMessages(name=CHANNEL, subject=SUBJECT, channel_id=CHANNEL)
OTHER_STORED = StoredMessages(name="other", subject=OTHER_SUBJECT, channel_id="other")
CURSORS = CursorCodec(KeyRing.of(b"k" * 32))


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
    return await reader.read_page(bridge, STORED, HistoryQuery(**query))


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
        await reader.read_page(bridge, OTHER_STORED, HistoryQuery(cursor=cursor))


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


@pytest.mark.parametrize(
    "line", [b"NATS/1.0", b"NATS/1.0 503", b"NATS/1.0 204 EOB", b"NATS/1.0 404 No Results"]
)
@pytest.mark.parametrize("name", [b"Status", b"Nats-Num-Pending", b"Nats-Sequence", b"x"])
@pytest.mark.parametrize("value", [b"ok", b"503", b"0"])
async def test_header_of_a_stored_message_neither_ends_nor_hides_the_history(
    reader, bridge, history, line, name, value
):
    history.append(SUBJECT, b"1")
    history.append(SUBJECT, b"2", headers=b"%b\r\n%b: %b\r\n\r\n" % (line, name, value))
    history.append(SUBJECT, b"3")
    assert numbers(await read(reader, bridge)) == [1, 2, 3]
    assert numbers(await read(reader, bridge, last=2)) == [2, 3]
    assert numbers(await read(reader, bridge, since="2", limit=1)) == [2]


async def test_status_in_the_newest_message_does_not_hide_the_history(reader, bridge, history):
    history.append(SUBJECT, b"1", headers=b"NATS/1.0 503\r\n\r\n")
    assert (await find_replay_position(bridge, SUBJECT, HistoryQuery(last=1), None)).after_seq == 0
    assert await reader.get_acks(bridge, SUBJECT, has_history=False) is not None


async def test_tenant_without_history_is_an_error(reader, bridge, broker):
    broker.responders[DIRECT_GET_SUBJECT] = lambda _: [(b"", b"NATS/1.0 503\r\n\r\n")]
    with pytest.raises(HistoryUnavailable):
        await read(reader, bridge)


async def replay_position(messages, last):
    """The numbers after the replay position, of a channel whose messages alternate with others."""
    broker, bus = FakeBroker(), FakeBus({IssueBridgeCredentials: BRIDGE_CREDENTIALS})
    history = FakeHistory(broker)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connector, "BridgeConnection", broker.create_connection)
        bridge = Bridge(tenant_id=TENANT, bus=bus, settings=Settings(), signing_keys=SIGNING_KEYS)
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
        self.suffix = b""
        route = broker.route

        def acknowledge(subject, payload, headers=b"", reply=""):
            route(subject, payload, headers, reply)
            if subject == SUBJECT and reply and self.acknowledges:
                seq = history.append(subject, payload)
                route(reply, b'{"stream":"%b","seq":%d%b}' % (self.stream.encode(), seq, self.suffix))

        broker.route = acknowledge


@pytest.fixture
def stream(broker, history, monkeypatch):
    monkeypatch.setattr(acks_module, "ACK_TIMEOUT_S", 0.02)
    return Stream(broker, history)


def channel(*, has_history=True):
    return Channel(
        channel_id=CHANNEL,
        tenant_id=TENANT,
        name="News",
        description="",
        subject=SUBJECT,
        metadata={},
        created_at=START,
        updated_at=START,
        has_history=has_history,
    )


async def publish(reader, bridge, payload, **fields):
    ack = await reader.publish(bridge, channel(**fields), payload, {})
    return None if ack is None else ack.seq


async def test_publish_returns_the_sequence_number(reader, bridge, stream):
    assert [await publish(reader, bridge, b"1") for _ in range(3)] == [1, 2, 3]


async def test_concurrent_publishes_get_their_own_sequence_numbers(reader, bridge, stream, history):
    payloads = [b"%d" % number for number in range(20)]
    seqs = await asyncio.gather(*(publish(reader, bridge, payload) for payload in payloads))
    stored = {seq: payload for seq, _, payload in history.stored}
    assert [stored[seq] for seq in seqs] == payloads
    assert bridge.streams.subscription_count == 1


async def test_message_that_is_not_acknowledged_is_uncertain(reader, bridge, stream):
    stream.acknowledges = False
    with pytest.raises(PublishUncertain):
        await publish(reader, bridge, b"1")


async def test_message_that_the_stream_refuses_is_uncertain(reader, bridge, stream):
    stream.suffix = b',"error":{"code":503,"description":"full"}'
    with pytest.raises(PublishUncertain):
        await publish(reader, bridge, b"1")


async def test_acknowledgement_says_that_a_message_was_stored_before(reader, bridge, stream):
    stream.suffix = b',"duplicate":true'
    assert (await reader.publish(bridge, channel(), b"1", {UNIQUE_ID_HEADER: "x"})).duplicate
    # Of a message without one, only the gateway itself may have repeated it.
    assert not (await reader.publish(bridge, channel(), b"1", {})).duplicate


async def publish_with_id(reader, bridge):
    return await reader.publish(bridge, channel(), b"1", {UNIQUE_ID_HEADER: "x"})


async def test_repeated_message_is_published_to_the_stream_only(reader, bridge, broker, stream):
    assert [(await publish_with_id(reader, bridge)).seq for _ in range(3)] == [1, 2, 3]
    clients, streams = broker.open_connections
    assert clients.broker_messages == 1
    assert streams.broker_messages >= 2
    # Others are published as before.
    await publish(reader, bridge, b"2")
    assert clients.broker_messages == 2


async def test_message_with_an_id_is_stored_again_until_it_is_acknowledged(
    reader, bridge, broker, stream, monkeypatch
):
    monkeypatch.setattr(acks_module, "ACK_TIMEOUT_S", 5)
    monkeypatch.setattr(acks_module, "REPEAT_INTERVAL_S", 0.005)
    stream.acknowledges = False
    task = asyncio.create_task(publish_with_id(reader, bridge))
    await asyncio.sleep(0.03)
    stream.acknowledges = True
    # Nothing else flushes what the gateway repeats.
    while not task.done():
        await bridge.streams.flush()
        await asyncio.sleep(0.005)
    assert (await task).seq == 1
    assert broker.open_connections[0].broker_messages == 1


async def test_message_with_an_id_that_is_never_acknowledged_is_uncertain(
    reader, bridge, stream, monkeypatch
):
    monkeypatch.setattr(acks_module, "REPEAT_INTERVAL_S", 0.005)
    stream.acknowledges = False
    with pytest.raises(PublishUncertain):
        await publish_with_id(reader, bridge)


async def test_answer_to_a_publish_does_not_wait_for_an_election(reader, bridge, stream, monkeypatch):
    monkeypatch.setattr(acks_module, "ACK_TIMEOUT_S", 60)
    monkeypatch.setattr(reader_module, "ANSWER_WITHIN_S", 0.02)
    stream.acknowledges = False
    with pytest.raises(PublishUncertain):
        await publish(reader, bridge, b"1")


async def test_acknowledgement_of_another_stream_is_ignored(reader, bridge, stream):
    stream.stream = "OTHER"
    with pytest.raises(PublishUncertain):
        await publish(reader, bridge, b"1")


async def test_forged_acknowledgement_is_ignored(reader, bridge, broker, stream):
    stream.acknowledges = False
    task = asyncio.create_task(publish(reader, bridge, b"1"))
    await asyncio.sleep(0.005)
    for payload in (b"", b"{", b"[]", b'{"stream":"CHANNELS"}', b'{"seq":1}'):
        for subject in broker.subjects:
            broker.route(subject.replace("*", "0"), payload)
    with pytest.raises(PublishUncertain):
        await task


async def test_channel_without_history_is_published_without_acknowledgement(reader, bridge, broker):
    broker.responders[DIRECT_GET_SUBJECT] = lambda _: [(b"", b"NATS/1.0 503\r\n\r\n")]
    assert await publish(reader, bridge, b"1", has_history=False) is None
    assert broker.received[-1] == (SUBJECT, b"1")
    assert reader.has_cached_acks(bridge, has_history=False)
    assert reader.cached_acks(bridge) is None
    assert bridge.subscription_count == 0


async def test_channel_whose_stream_is_missing_publishes_nothing(reader, bridge, broker, monkeypatch):
    monkeypatch.setattr(reader_module, "STREAM_WAIT_S", 0.05)
    broker.responders[DIRECT_GET_SUBJECT] = lambda _: [(b"", b"NATS/1.0 503\r\n\r\n")]
    with pytest.raises(StreamUnavailable):
        await publish(reader, bridge, b"1")
    assert (SUBJECT, b"1") not in broker.received
    # What is known of a channel without history is not believed of one with it.
    assert await publish(reader, bridge, b"2", has_history=False) is None
    assert not reader.has_cached_acks(bridge, has_history=True)
    with pytest.raises(StreamUnavailable):
        await publish(reader, bridge, b"3")


async def test_publish_waits_for_a_stream_that_is_restored(reader, bridge, broker, stream):
    restored = broker.responders[DIRECT_GET_SUBJECT]
    broker.responders[DIRECT_GET_SUBJECT] = lambda _: [(b"", b"NATS/1.0 503\r\n\r\n")]
    task = asyncio.create_task(publish(reader, bridge, b"1"))
    await asyncio.sleep(0.1)
    broker.responders[DIRECT_GET_SUBJECT] = restored
    assert await task == 1


async def test_acknowledgements_use_one_subscription_outside_the_tenants_subjects(
    reader, bridge, broker, stream
):
    await publish(reader, bridge, b"1")
    (subject,) = broker.subjects
    assert subject.startswith(f"{ACK_PREFIX}.")


async def test_publish_without_a_connection_is_an_error(reader, bridge, broker, stream):
    await publish(reader, bridge, b"1")
    broker.down = True
    await broker.restart()
    with pytest.raises(BrokerUnavailable):
        await publish(reader, bridge, b"1")


async def test_publish_whose_connection_breaks_is_uncertain(reader, bridge, broker, stream):
    await publish(reader, bridge, b"1")
    broker.pause()
    task = asyncio.create_task(publish(reader, bridge, b"2"))
    await asyncio.sleep(0.005)
    broker.down = True
    await broker.restart()
    with pytest.raises(PublishUncertain):
        await task


async def test_concurrent_first_publishes_share_one_subscription_and_failed_ones_leave_none(
    reader, bridge, broker, history
):
    async def acks():
        return await reader.get_acks(bridge, SUBJECT, has_history=False)

    await bridge.streams.open()
    answer = broker.responders[DIRECT_GET_SUBJECT]

    def answer_and_pause(payload):
        broker.pause()
        return answer(payload)

    broker.responders[DIRECT_GET_SUBJECT] = answer_and_pause
    first = [asyncio.create_task(acks()) for _ in range(3)]
    await eventually(lambda: bridge.streams.subscription_count, every=0.001)
    await broker.restart()
    broker.resume()
    assert {type(each) for each in await asyncio.gather(*first, return_exceptions=True)} == {
        BrokerUnavailable
    }
    assert bridge.streams.subscription_count == 0
    broker.responders[DIRECT_GET_SUBJECT] = answer
    await eventually(lambda: bridge.streams.state is BridgeState.CONNECTED, every=0.001)
    assert len({id(each) for each in await asyncio.gather(*(acks() for _ in range(3)))}) == 1
    assert bridge.streams.subscription_count == 1
