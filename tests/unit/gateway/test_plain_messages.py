"""Messages that are rendered without a `BrokerMessage` arrive as those that are."""

import asyncio
import json
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artcafe_common.key_ring import KeyRing, TimedKey
from artcafe_gateway.delivery import signatures
from artcafe_gateway.delivery.fanout import MAX_BATCH_BYTES, BrokerSubscription, RenderGroup
from artcafe_gateway.delivery.member_subscription import MemberSubscription
from artcafe_gateway.delivery.message import MAX_FRAME_BYTES, agent_message_frame, message_frame
from artcafe_gateway.delivery.read_time import ReadTime
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.wire.text_frames import line_frame, text_frame
from support.fakes.clock import FakeClock
from support.fakes.ids import CHANNEL, CLIENT, OTHER_TENANT, SIGNER, SIGNING_KEYS, TENANT

SUBJECT = f"{TENANT}.a"
CHANNEL_SUBJECT = f"tenant.{TENANT}.channel.{CHANNEL}"


class Queue:
    """Collects what is written to a socket, as JSON of each line of each frame."""

    def __init__(self):
        self.frames = []

    def write(self, joined):
        while joined:
            length, start = joined[1], 2
            if length == 126:
                length, start = int.from_bytes(joined[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(joined[2:10], "big"), 10
            self.frames.append(joined[start : start + length])
            joined = joined[start + length :]
        return True

    def messages(self, *, lines):
        texts = [line for frame in self.frames for line in (frame.split(b"\n") if lines else [frame])]
        return [json.loads(text) for text in texts]


class Member:
    def __init__(self):
        self.send_queue = Queue()
        self.counts = {}
        self.requests = 0

    def on_delivered(self, counts):
        for channel, (messages, size) in counts.items():
            total = self.counts.setdefault(channel, [0, 0])
            total[0] += messages
            total[1] += size

    def on_request(self, _message):
        self.requests += 1


def receive(messages, *, plain, render, wrap):
    """What a subscriber receives of (subject, reply, payload, headers), over the short way or the other."""

    async def run():
        subscription, member = BrokerSubscription(SIGNER, RenderGroup), Member()
        subscription.add_subscriber(("message", "full"), member, lambda subject: subject, render, wrap)
        for subject, reply, payload, headers in messages:
            if plain:
                subscription.receive(subject.encode(), reply.encode(), payload, headers, ReadTime())
            else:
                subscription.on_message(subject, reply, payload, headers)
        await asyncio.sleep(0)
        received = member.send_queue.messages(lines=wrap is line_frame)
        for each in received:
            if "timestamp" in each:
                assert (
                    abs(datetime.now().astimezone() - datetime.fromisoformat(each.pop("timestamp"))).seconds
                    < 5
                )
        return received, member.counts, member.requests

    return asyncio.run(run())


payloads = st.one_of(
    st.sampled_from(
        [b"1", b'{"a":1}', b'"x"', b'{\n "a": "\\n" }', b"", b"\xff", b"{", b'"\\ud800"', b" 1 "]
    ),
    st.binary(max_size=8),
    st.sampled_from([b'"%b"' % (b"x" * size) for size in (200, 70_000)]),
)
blocks = st.one_of(
    st.just(b""),
    st.sampled_from(
        [
            b"NATS/1.0\r\n\r\n",
            b"NATS/1.0\r\nLang: en\r\n\r\n",
            b"NATS/1.0\r\nArtcafe-From: x\r\n\r\n",
            b"NATS/1.0\r\nArtcafe-From: x\r\nArtcafe-Auth: %b\r\n\r\n" % (b"0" * 47),
            b"\r\n\r\n",
            b"x" * 51,
        ]
    ),
    st.sampled_from(
        ["signed", "person", "headers", "other subject", "other payload", "broker", "cut", "old"]
    ),
)


def make_block(kind, subject, payload):
    if isinstance(kind, bytes):
        return kind
    block = SIGNER.sign(CLIENT, subject, payload)
    return {
        "signed": block,
        "person": SIGNER.sign("", subject, payload),
        "headers": SIGNER.sign(CLIENT, subject, payload, {"Lang": "en"}),
        "other subject": SIGNER.sign(CLIENT, f"{subject}x", payload),
        "other payload": SIGNER.sign(CLIENT, subject, payload + b" "),
        "broker": block[:-2] + b"Nats-Stream: s\r\n\r\n",
        "cut": block[:-1],
        "old": block.replace(b"Artcafe-Auth: 0", b"Artcafe-Auth: 1"),
    }[kind]


messages = st.tuples(
    st.sampled_from([SUBJECT, CHANNEL_SUBJECT, f"{SUBJECT}.b"]),
    st.sampled_from(["", "", "", "_INBOX.x.y", "single"]),
    payloads,
    blocks,
).map(lambda parts: (*parts[:3], make_block(parts[3], parts[0], parts[2])))


@given(
    st.lists(messages, max_size=5),
    st.sampled_from([message_frame, agent_message_frame]),
    st.sampled_from([text_frame, line_frame]),
)
@settings(max_examples=100, deadline=None)
def test_both_ways_deliver_the_same(messages, render, wrap):
    messages = [each for each in messages if not is_signed(*each) or is_json(each[2])]
    short = receive(messages, plain=True, render=render, wrap=wrap)
    assert short == receive(messages, plain=False, render=render, wrap=wrap)


def is_signed(subject, _reply, payload, block):
    return SIGNER.verify(subject, payload, block, ReadTime().at_ms) is not None


def is_json(payload):
    # Gateways sign nothing else.
    try:
        json.loads(payload.decode())
    except ValueError:
        return False
    return b"ud800" not in payload


async def test_members_of_a_queue_group_receive_its_name():
    subscription, member = MemberSubscription(SIGNER, RenderGroup), Member()
    subscription.add_subscriber(("message", "bare"), member, str, message_frame)
    await asyncio.sleep(0)
    assert member.send_queue.frames == []


@pytest.mark.parametrize("size", [10, 5_000, 40_000])
async def test_frames_with_several_messages_are_bounded(size):
    subscription, member = BrokerSubscription(SIGNER, RenderGroup), Member()
    subscription.add_subscriber(("batch", "bare"), member, str, message_frame, line_frame)
    for number in range(60):
        payload = b'{"n":%d,"p":"%b"}' % (number, b"x" * size)
        subscription.receive(SUBJECT.encode(), b"", payload, b"", ReadTime())
    await asyncio.sleep(0)
    received = member.send_queue.messages(lines=True)
    assert [each["data"]["n"] for each in received] == list(range(60))
    assert all(len(frame) <= MAX_BATCH_BYTES for frame in member.send_queue.frames)
    assert len(member.send_queue.frames) < 60 or size > MAX_BATCH_BYTES // 2


async def test_large_message_is_a_frame_of_its_own_below_the_limit():
    subscription, member = BrokerSubscription(SIGNER, RenderGroup), Member()
    subscription.add_subscriber(("batch", "bare"), member, str, message_frame, line_frame)
    for payload in (b"1", b'"%b"' % (b"x" * 990_000), b"2"):
        subscription.receive(SUBJECT.encode(), b"", payload, b"", ReadTime())
    await asyncio.sleep(0)
    assert [frame.count(b"\n") for frame in member.send_queue.frames] == [0, 0, 0]
    assert max(map(len, member.send_queue.frames)) <= MAX_FRAME_BYTES


# -- signatures ------------------------------------------------------------------------------------


def verify(signer, block, at_ms, subject=SUBJECT, payload=b"1"):
    read_time = ReadTime()
    read_time.at_ms = at_ms
    return signer.verify_sender(subject.encode(), payload, block, read_time)


@pytest.mark.parametrize("repeat", [1, 2])
def test_short_verification_knows_the_sender(repeat):
    signer = MessageSigner(SIGNING_KEYS, TENANT)
    for _ in range(repeat):
        block = SIGNER.sign(CLIENT, SUBJECT, b"1")
        assert verify(signer, block, ReadTime().at_ms) == CLIENT.encode()
    assert verify(signer, block, ReadTime().at_ms + 31_000) is None
    assert verify(signer, block, ReadTime().at_ms, payload=b"2") is None
    assert verify(signer, block, ReadTime().at_ms, subject=f"{SUBJECT}2") is None
    assert verify(MessageSigner(SIGNING_KEYS, OTHER_TENANT), block, ReadTime().at_ms) is None


def test_key_that_was_taken_away_is_refused_at_once():
    keys = KeyRing.of(b"a" * 32)
    signer = MessageSigner(keys, TENANT)
    block = signer.sign(CLIENT, SUBJECT, b"1")
    assert verify(signer, block, ReadTime().at_ms) == CLIENT.encode()
    keys.replace([TimedKey(secret=b"b" * 32)])
    assert verify(signer, block, ReadTime().at_ms) is None
    assert signer.verify(SUBJECT, b"1", block, ReadTime().at_ms) is None
    assert verify(signer, signer.sign(CLIENT, SUBJECT, b"1"), ReadTime().at_ms) == CLIENT.encode()


class NanosecondClock(FakeClock):
    def time_ns(self):
        return int(self.now * 1e9)


def test_next_key_is_used_from_its_time_on(monkeypatch):
    clock = NanosecondClock()
    for module in ("artcafe_common.key_ring", "artcafe_gateway.delivery.signatures"):
        monkeypatch.setattr(f"{module}.time", clock)
    keys = KeyRing([TimedKey(secret=b"a" * 32), TimedKey(secret=b"b" * 32, valid_from=int(clock.now) + 60)])
    signer = MessageSigner(keys, TENANT)
    before = signer.sign(CLIENT, SUBJECT, b"1")
    clock.advance(61)
    after = signer.sign(CLIENT, SUBJECT, b"1")
    only_new = MessageSigner(KeyRing.of(b"b" * 32), TENANT)
    at_ms = int(clock.now * 1000)
    assert only_new.verify(SUBJECT, b"1", after, at_ms) == (CLIENT, b"")
    assert verify(signer, after, at_ms) == CLIENT.encode()
    assert verify(only_new, before, at_ms) is None


def test_prefixes_are_bounded(monkeypatch):
    monkeypatch.setattr(signatures, "MAX_PREFIXES", 10)
    signer = MessageSigner(SIGNING_KEYS, TENANT)
    for number in range(100):
        subject = f"{SUBJECT}{number}"
        assert verify(signer, signer.sign(CLIENT, subject, b"1"), ReadTime().at_ms, subject) is not None
    assert len(signer._prefixes) <= 10
    assert len(signer._signers) <= 10
