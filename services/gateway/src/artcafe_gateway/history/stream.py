"""Reads a tenant's history stream with JetStream's direct get, in the account of the tenant's streams."""

from collections.abc import Callable
from datetime import datetime
from typing import TypedDict

import msgspec

from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.replies import Reply
from artcafe_gateway.delivery.client_signatures import is_signed, parse_signature
from artcafe_gateway.delivery.headers import last_header
from artcafe_gateway.delivery.message import to_milliseconds
from artcafe_gateway.errors import HistoryUnavailable

DIRECT_GET_PREFIX = "$JS.API.DIRECT.GET"
STREAM_INFO_PREFIX = "$JS.API.STREAM.INFO"
DIRECT_GET_SUBJECT = f"{DIRECT_GET_PREFIX}.{HISTORY_STREAM}"
# Every subject of a stream.
ANY_SUBJECT = ">"
# A page ends early when its payloads exceed about this size.
MAX_PAGE_BYTES = 4 * 1024 * 1024


class StreamStart(TypedDict, total=False):
    """Where the broker starts to read."""

    seq: int
    start_time: datetime


class StreamMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A stored message, with its header block; `pending` messages of the same subject follow it."""

    seq: int
    subject: str
    headers: bytes
    data: bytes
    timestamp: datetime
    pending: int


async def read_stream_page(
    bridge: Bridge,
    subject: str,
    start: StreamStart,
    limit: int,
    max_bytes: int = MAX_PAGE_BYTES,
    *,
    stream: str = HISTORY_STREAM,
) -> tuple[list[StreamMessage], bool]:
    """Returns stored messages of a subject, and whether more follow; HistoryUnavailable, BrokerUnavailable."""
    query = {**start, "next_by_subj": subject, "batch": limit, "max_bytes": max_bytes}
    messages = await _direct_get(bridge, stream, query, is_last=_is_about_request)
    await _prepare_senders(bridge, messages)
    return messages, bool(messages) and messages[-1].pending > 0


async def _prepare_senders(bridge: Bridge, messages: list[StreamMessage]) -> None:
    clients = bridge.signer.clients
    if clients is None:
        return
    signed = [each for each in messages if is_signed(each.headers)]
    if signed:
        signatures = (
            parse_signature(each.subject, each.data, each.headers, to_milliseconds(each.timestamp))
            for each in signed
        )
        await clients.prepare(each for each in signatures if each is not None)


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """The last message that a stream has stored, even if it is removed."""

    last_seq: int
    last_ts: datetime


class _StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    state: StreamState


async def get_stream_state(bridge: Bridge) -> StreamState:
    """Returns the state of the channels' stream, as its leader knows it; HistoryUnavailable, BrokerUnavailable."""
    subject = f"{STREAM_INFO_PREFIX}.{HISTORY_STREAM}"
    (reply,) = await bridge.streams.request(subject, b"", is_last=lambda _: True)
    if reply.is_no_responders:
        raise HistoryUnavailable
    try:
        return msgspec.json.decode(reply.data, type=_StreamInfo).state
    except msgspec.DecodeError:
        # An error in place of the information.
        raise HistoryUnavailable from None


async def get_message(bridge: Bridge, seq: int) -> StreamMessage | None:
    """Returns one stored message of any channel; None if it is not stored."""
    messages = await _direct_get(bridge, HISTORY_STREAM, {"seq": seq}, is_last=lambda _: True)
    return messages[0] if messages else None


async def get_last_seq(bridge: Bridge, subject: str, *, stream: str = HISTORY_STREAM) -> int:
    """Returns the sequence number of a subject's newest message; 0 without one."""
    messages = await _direct_get(bridge, stream, {"last_by_subj": subject}, is_last=lambda _: True)
    return messages[0].seq if messages else 0


async def count_from(
    bridge: Bridge, subject: str, seq: int, *, stream: str = HISTORY_STREAM
) -> tuple[int, int]:
    """Returns the first sequence number of a subject from `seq` on, and the number of messages from it on."""
    messages, _ = await read_stream_page(bridge, subject, {"seq": seq}, 1, stream=stream)
    return (messages[0].seq, messages[0].pending + 1) if messages else (seq, 0)


async def find_seq_from_end(bridge: Bridge, subject: str, count: int, *, stream: str = HISTORY_STREAM) -> int:
    """Returns the sequence number of the first of the newest `count` messages; 1 if there are no more."""
    first, stored = await count_from(bridge, subject, 1, stream=stream)
    if stored <= count:
        return 1
    low, high = first, await get_last_seq(bridge, subject, stream=stream)
    # Binary search: from `low` on there are at least `count` messages.
    while low < high:
        middle = (low + high + 1) // 2
        seq, following = await count_from(bridge, subject, middle, stream=stream)
        if following >= count:
            low = seq
            if following == count:
                break
        else:
            high = middle - 1
    return low


class StoredMessages(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of a subject are stored, how many of them since a time, the oldest and the newest."""

    count: int
    recent: int
    oldest: StreamMessage
    newest: StreamMessage


async def summarize(bridge: Bridge, subject: str, since: datetime) -> StoredMessages | None:
    """What is stored of a subject, None without any; HistoryUnavailable, BrokerUnavailable."""
    oldest, _ = await read_stream_page(bridge, subject, {"seq": 1}, 1)
    newest = await _direct_get(bridge, HISTORY_STREAM, {"last_by_subj": subject}, is_last=lambda _: True)
    if not oldest or not newest:
        return None
    recent, _ = await read_stream_page(bridge, subject, {"start_time": since}, 1)
    return StoredMessages(
        count=oldest[0].pending + 1,
        recent=recent[0].pending + 1 if recent else 0,
        oldest=oldest[0],
        newest=newest[0],
    )


def _is_about_request(reply: Reply) -> bool:
    return last_header(reply.headers, b"Nats-Sequence") is None


async def _direct_get(
    bridge: Bridge, stream: str, query: dict[str, object], *, is_last: Callable[[Reply], bool]
) -> list[StreamMessage]:
    replies = await bridge.streams.request(
        f"{DIRECT_GET_PREFIX}.{stream}", msgspec.json.encode(query), is_last=is_last
    )
    if replies[0].is_no_responders:
        raise HistoryUnavailable
    return [stored for stored in map(_to_stream_message, replies) if stored is not None]


def _to_stream_message(reply: Reply) -> StreamMessage | None:
    """A stored message; None for a reply about the request, to which the broker appends no `Nats-Sequence`.

    Nothing else is a sign: a stored message may have any status and header that its publisher wrote.
    """
    subject = last_header(reply.headers, b"Nats-Subject")
    seq = last_header(reply.headers, b"Nats-Sequence")
    time = last_header(reply.headers, b"Nats-Time-Stamp")
    if subject is None or seq is None or time is None:
        return None
    return StreamMessage(
        seq=int(seq),
        subject=subject,
        headers=reply.headers,
        data=reply.data,
        timestamp=msgspec.convert(time, datetime),
        pending=int(last_header(reply.headers, b"Nats-Num-Pending") or "0"),
    )
