"""Pages of channel history, publishing to channels with acknowledgement, and replay positions."""

import asyncio
import time
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated
from weakref import WeakKeyDictionary

import msgspec
from cachetools import TTLCache
from msgspec import UNSET, Meta, Raw, UnsetType

from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_common.bus.errors import CommandError, FieldError, InvalidRequest
from artcafe_common.contracts.tenancy.channels import Channel
from artcafe_common.contracts.tenancy.fields import CursorText, Limit
from artcafe_common.cursors import CursorCodec
from artcafe_common.tracing import current_traceparent
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.message import (
    TRACE_HEADER,
    UNIQUE_ID_HEADER,
    BrokerMessage,
    create_unique_id,
)
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.errors import BrokerUnavailable, HistoryUnavailable, PublishUncertain, StreamUnavailable
from artcafe_gateway.history.acks import Ack, OnAck, PublishAcks
from artcafe_gateway.history.gaps import CLOCK_MARGIN, Gap, find_gap, include_purge
from artcafe_gateway.history.published_ids import PublishedIds
from artcafe_gateway.history.stream import (
    ANY_SUBJECT,
    StreamMessage,
    StreamStart,
    count_from,
    find_seq_from_end,
    get_last_seq,
    read_stream_page,
)

MAX_LAST = 10_000
MAX_WAIT_S = 30
MAX_SEQ = 2**63 - 1
WITHOUT_HISTORY_TTL_S = 2
# How long a publish waits for a stream that is missing or away; its answer comes within 2 s.
STREAM_WAIT_S = 1.5
STREAM_RETRY_INTERVAL_S = 0.25
# How long the answer to a REST publish waits for the acknowledgement. The message is stored again after that, too.
ANSWER_WITHIN_S = 1.5
MAX_CACHED_TENANTS = 20_000


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where history starts: at `since` (a time or a `seq`), or `last` messages before the end."""

    limit: Limit = 50
    cursor: CursorText | None = None
    since: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    last: Annotated[int, Meta(ge=1, le=MAX_LAST)] | None = None


class ChannelHistoryQuery(HistoryQuery, frozen=True, kw_only=True):
    """Where history starts: at `since` (a time or a `seq`), or `last` messages before the end.

    With `wait_s`, an empty page comes only after so many seconds, and a message that is stored meanwhile at once.
    """

    wait_s: Annotated[int, Meta(ge=0, le=MAX_WAIT_S)] = 0


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored message; `seq` increases within an organization's channels, or within one subject record.

    `channel` is set for a message of a channel.
    """

    seq: int
    subject: str
    channel: str | UnsetType = UNSET
    data: Raw
    timestamp: datetime
    from_: str | UnsetType = msgspec.field(name="from", default=UNSET)
    message_id: str | UnsetType = UNSET
    headers: dict[str, str] | UnsetType = UNSET


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of stored messages, oldest first."""

    messages: list[HistoryMessage]
    next_cursor: str | None


class StoredMessages(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of a channel, or of a subject record, in a stream; `name` tells them from others."""

    name: str
    stream: str = HISTORY_STREAM
    subject: str = ANY_SUBJECT
    channel_id: str | UnsetType = UNSET


class ChannelMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to publish to a channel, with its signed header block, which contains `unique_id`."""

    subject: str
    payload: bytes
    block: bytes
    channel_id: str
    client_id: str = ""
    unique_id: str


class HistoryReader:
    """Reads channel history, and publishes to channels that may store their messages."""

    def __init__(self, cursors: CursorCodec) -> None:
        self._cursors = cursors
        self._acks: WeakKeyDictionary[Bridge, PublishAcks] = WeakKeyDictionary()
        self._opening: WeakKeyDictionary[Bridge, asyncio.Task[PublishAcks | None]] = WeakKeyDictionary()
        # The unique ids of messages that the broker has, by bridge.
        self._published: WeakKeyDictionary[Bridge, PublishedIds] = WeakKeyDictionary()
        # Tenants whose channels store no messages.
        self._without_history: TTLCache[str, None] = TTLCache(MAX_CACHED_TENANTS, WITHOUT_HISTORY_TTL_S)

    async def read_page(self, bridge: Bridge, stored_in: StoredMessages, query: HistoryQuery) -> HistoryPage:
        """Returns a page of messages; HistoryUnavailable, BrokerUnavailable, InvalidCursor."""
        scope, subject, stream = f"messages {stored_in.name}", stored_in.subject, stored_in.stream
        position = self._cursors.decode(bridge.tenant_id, scope, query.cursor)
        start = (
            {"seq": position["seq"]} if position else await _find_start(bridge, subject, query, stream=stream)
        )
        messages, has_more = await read_stream_page(bridge, subject, start, query.limit, stream=stream)
        next_position = {"seq": messages[-1].seq + 1} if messages and has_more else None
        return HistoryPage(
            messages=[
                _to_history_message(bridge.signer, stored_in.channel_id, stored) for stored in messages
            ],
            next_cursor=self._cursors.encode(bridge.tenant_id, scope, next_position),
        )

    async def publish(
        self,
        bridge: Bridge,
        channel: Channel,
        payload: bytes,
        headers: dict[str, str],
        client_id: str = "",
    ) -> Ack | None:
        """Publishes to a channel, in the name of a client if one is given; None for a channel without history.

        StreamUnavailable, PublishUncertain, other errors as `Bridge`.
        """
        subject, channel_id = channel.subject, channel.channel_id
        if traceparent := current_traceparent():
            headers = {**headers, TRACE_HEADER: traceparent}
        acks = await self.get_acks(bridge, subject, has_history=channel.has_history)
        if acks is not None and UNIQUE_ID_HEADER not in headers:
            headers = {**headers, UNIQUE_ID_HEADER: create_unique_id()}
        block = bridge.signer.sign(client_id, subject, payload, headers)
        if acks is None:
            bridge.publish(subject, payload, block, client_id=client_id, channel_id=channel_id)
            await _flush(bridge)
            return None
        acknowledged: asyncio.Future[Ack | None] = asyncio.get_running_loop().create_future()
        message = ChannelMessage(
            subject=subject,
            payload=payload,
            block=block,
            channel_id=channel_id,
            client_id=client_id,
            unique_id=headers[UNIQUE_ID_HEADER],
        )
        self.publish_nowait(bridge, acks, message, partial(_set_result, acknowledged))
        with suppress(TimeoutError):
            ack = await asyncio.wait_for(acknowledged, ANSWER_WITHIN_S)
            if ack is not None:
                return ack
        raise PublishUncertain

    def publish_nowait(
        self, bridge: Bridge, acks: PublishAcks, message: ChannelMessage, on_ack: OnAck
    ) -> None:
        """Publishes a message; `on_ack` gets None if it may or may not be stored. CommandError if it is not published.

        A message that this gateway has published before, under the same unique id, is stored only, so that no
        subscriber receives it twice. Every message is stored again by itself until it is acknowledged.
        """
        published = self._published.get(bridge)
        if published is None:
            published = self._published[bridge] = PublishedIds()
        repeated = message.unique_id in published

        def on_answer(ack: Ack | None) -> None:
            on_ack(ack if repeated else published.record_ack(message.unique_id, ack))

        reply = acks.register(on_answer)
        store_again = partial(
            bridge.store_again, message.subject, message.payload, message.block, reply=reply
        )
        try:
            if repeated:
                store_again()
            else:
                bridge.publish(
                    message.subject,
                    message.payload,
                    message.block,
                    client_id=message.client_id,
                    channel_id=message.channel_id,
                    reply=reply,
                )
        except CommandError:
            acks.cancel(reply)
            raise

        def on_flushed(error: CommandError | None) -> None:
            if error is not None:
                if acks.cancel(reply):
                    on_ack(None)
            elif acks.start_timeout(reply, store_again):
                published.record(message.unique_id)

        (bridge.streams if repeated else bridge).call_when_flushed(on_flushed)

    def has_cached_acks(self, bridge: Bridge, *, has_history: bool) -> bool:
        """Whether `cached_acks` has the answer for a bridge, and a channel that `has_history` or not."""
        return bridge in self._acks or (not has_history and bridge.tenant_id in self._without_history)

    def cached_acks(self, bridge: Bridge) -> PublishAcks | None:
        """As `get_acks`, without awaiting."""
        return self._acks.get(bridge)

    async def get_acks(self, bridge: Bridge, subject: str, *, has_history: bool) -> PublishAcks | None:
        """Returns the acknowledgements of a bridge; None where channels store no messages.

        For a channel that `has_history`, the stream must be there: StreamUnavailable if it is still missing or away
        after `STREAM_WAIT_S`.
        """
        if not has_history:
            return await self._get_acks(bridge, subject)
        deadline = time.monotonic() + STREAM_WAIT_S
        while (acks := await self._get_acks(bridge, subject)) is None:
            if time.monotonic() > deadline:
                raise StreamUnavailable
            await asyncio.sleep(STREAM_RETRY_INTERVAL_S)
            self._without_history.pop(bridge.tenant_id, None)
        return acks

    async def _get_acks(self, bridge: Bridge, subject: str) -> PublishAcks | None:
        acks = self._acks.get(bridge)
        if acks is not None:
            return acks
        if bridge.tenant_id in self._without_history:
            return None
        opening = self._opening.get(bridge)
        if opening is None:
            opening = self._opening[bridge] = asyncio.create_task(self._open_acks(bridge, subject))
            opening.add_done_callback(lambda _: self._opening.pop(bridge, None))
        return await asyncio.shield(opening)

    async def _open_acks(self, bridge: Bridge, subject: str) -> PublishAcks | None:
        try:
            await count_from(bridge, subject, 1)
        except (HistoryUnavailable, BrokerUnavailable):
            self._without_history[bridge.tenant_id] = None
            return None
        acks = self._acks[bridge] = await PublishAcks.open(bridge)
        return acks


async def _flush(bridge: Bridge) -> None:
    try:
        await bridge.flush()
    except BrokerUnavailable as error:
        raise PublishUncertain from error


class ReplayPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subscription starts to replay: after `after_seq`, and after what is missing of it."""

    after_seq: int
    gap: Gap | None = None


async def find_replay_position(
    bridge: Bridge,
    subject: str,
    query: HistoryQuery,
    created_at: datetime | None = None,
    purged: tuple[int, datetime | None] = (0, None),
) -> ReplayPosition:
    """Returns where a subscription to a channel starts; HistoryUnavailable, BrokerUnavailable, InvalidRequest.

    `purged` is the last message that was deleted by a purge, and when: other channels' messages do not tell of it.
    """
    purged_seq, purged_at = purged
    last_seq = await get_last_seq(bridge, subject)
    if query.last == 0:
        return ReplayPosition(after_seq=last_seq)
    start = await _find_start(bridge, subject, query)
    if query.last is not None:
        return ReplayPosition(after_seq=min(start.get("seq", 1) - 1, last_seq))
    seen_until = None if created_at is None else created_at - CLOCK_MARGIN
    since = start.get("start_time")
    if since is not None:
        seen_until = since if seen_until is None else max(since, seen_until)
        gap = await find_gap(bridge, subject, 1, seen_until=seen_until)
        if purged_at is not None and since < purged_at:
            gap = include_purge(gap, 1, purged_seq)
        page, _ = await read_stream_page(bridge, subject, start, 1)
        return ReplayPosition(after_seq=page[0].seq - 1 if page else last_seq, gap=gap)
    seq = start.get("seq", 1)
    if seq == last_seq + 1 and last_seq:
        return ReplayPosition(after_seq=last_seq)
    gap = include_purge(await find_gap(bridge, subject, seq, seen_until=seen_until), seq, purged_seq)
    return ReplayPosition(after_seq=min(seq - 1 if gap is None else gap.to_seq, last_seq), gap=gap)


async def _find_start(
    bridge: Bridge, subject: str, query: HistoryQuery, *, stream: str = HISTORY_STREAM
) -> StreamStart:
    if query.since is not None and query.last is not None:
        raise _invalid("last", "Give either since or last")
    if query.last is not None:
        return {"seq": await find_seq_from_end(bridge, subject, query.last, stream=stream)}
    if query.since is None:
        return {"seq": 1}
    if query.since.isascii() and query.since.isdigit():
        seq = int(query.since)
        if seq > MAX_SEQ:
            raise _invalid("since", f"Expected a seq of at most {MAX_SEQ}")
        return {"seq": max(seq, 1)}
    try:
        since = msgspec.convert(query.since, datetime)
    except msgspec.ValidationError:
        since = None
    if since is None or since.tzinfo is None:
        raise _invalid("since", "Expected a seq, or an RFC 3339 time with its zone")
    return {"start_time": since}


def _to_history_message(
    signer: MessageSigner, channel_id: str | UnsetType, stored: StreamMessage
) -> HistoryMessage:
    message = BrokerMessage(signer, stored.subject, "", stored.data, stored.headers, stored.timestamp)
    return HistoryMessage(
        seq=stored.seq,
        subject=stored.subject,
        channel=channel_id,
        data=Raw(message.data),
        timestamp=stored.timestamp,
        from_=UNSET if message.sender is None else message.sender,
        message_id=UNSET if message.message_id is None else message.message_id,
        headers=UNSET if message.headers is None else message.headers,
    )


def _set_result(future: "asyncio.Future[Ack | None]", ack: Ack | None) -> None:
    if not future.done():
        future.set_result(ack)


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=(FieldError(field=field, message=message),))
