"""Pages of channel history, publishing to channels with acknowledgement, and replay positions."""

import asyncio
from datetime import datetime
from typing import Annotated
from weakref import WeakKeyDictionary

import msgspec
from cachetools import TTLCache
from msgspec import UNSET, Meta, Raw, UnsetType

from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.tenancy.fields import CursorText, Limit
from artcafe_common.cursors import CursorCodec
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.message import FROM_HEADER, as_json
from artcafe_gateway.errors import BrokerUnavailable, HistoryUnavailable
from artcafe_gateway.history.acks import PublishAcks
from artcafe_gateway.history.stream import (
    StreamMessage,
    StreamStart,
    count_from,
    find_seq_from_end,
    get_last_seq,
    read_stream_page,
)

MESSAGE_ID_HEADER = "Artcafe-Message-Id"
MAX_LAST = 10_000
MAX_SEQ = 2**63 - 1
WITHOUT_HISTORY_TTL_S = 2
MAX_CACHED_TENANTS = 20_000


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where history starts: at `since` (a time or a `seq`), or `last` messages before the end."""

    limit: Limit = 50
    cursor: CursorText | None = None
    since: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    last: Annotated[int, Meta(ge=1, le=MAX_LAST)] | None = None


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored message; `seq` increases within an organization's channels."""

    seq: int
    subject: str
    channel: str
    data: Raw
    timestamp: datetime
    from_: str | UnsetType = msgspec.field(name="from", default=UNSET)
    message_id: str | UnsetType = UNSET


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a channel's messages, oldest first."""

    messages: list[HistoryMessage]
    next_cursor: str | None


class HistoryReader:
    """Reads channel history, and publishes to channels that may store their messages."""

    def __init__(self, cursors: CursorCodec) -> None:
        self._cursors = cursors
        self._acks: WeakKeyDictionary[Bridge, PublishAcks] = WeakKeyDictionary()
        # Tenants whose channels store no messages.
        self._without_history: TTLCache[str, None] = TTLCache(MAX_CACHED_TENANTS, WITHOUT_HISTORY_TTL_S)

    async def read_page(
        self, bridge: Bridge, channel_id: str, subject: str, query: HistoryQuery
    ) -> HistoryPage:
        """Returns a page of a channel; HistoryUnavailable, BrokerUnavailable, InvalidCursor."""
        scope = f"messages {channel_id}"
        position = self._cursors.decode(bridge.tenant_id, scope, query.cursor)
        start = {"seq": position["seq"]} if position else await _find_start(bridge, subject, query)
        messages, has_more = await read_stream_page(bridge, subject, start, query.limit)
        next_position = {"seq": messages[-1].seq + 1} if messages and has_more else None
        return HistoryPage(
            messages=[_to_history_message(channel_id, stored) for stored in messages],
            next_cursor=self._cursors.encode(bridge.tenant_id, scope, next_position),
        )

    async def publish(
        self, bridge: Bridge, subject: str, payload: bytes, headers: bytes, *, channel_id: str
    ) -> int | None:
        """Publishes to a channel, and returns the stored message's `seq`; None if it is not stored."""
        acks = await self.get_acks(bridge, subject)
        if acks is None:
            bridge.publish(subject, payload, headers, channel_id=channel_id)
            await bridge.flush()
            return None
        acknowledged: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        with acks.registered(acknowledged.set_result) as reply:
            bridge.publish(subject, payload, headers, channel_id=channel_id, reply=reply)
            await bridge.flush()
            acks.start_timeout(reply)
            return await acknowledged

    def has_cached_acks(self, bridge: Bridge) -> bool:
        """Whether `cached_acks` has the answer for a bridge."""
        return bridge.tenant_id in self._without_history or bridge in self._acks

    def cached_acks(self, bridge: Bridge) -> PublishAcks | None:
        """As `get_acks`, without awaiting."""
        return self._acks.get(bridge)

    async def get_acks(self, bridge: Bridge, subject: str) -> PublishAcks | None:
        """Returns the acknowledgements of a bridge; None where channels store no messages."""
        if bridge.tenant_id in self._without_history:
            return None
        acks = self._acks.get(bridge)
        if acks is None:
            try:
                await count_from(bridge, subject, 1)
            except (HistoryUnavailable, BrokerUnavailable):
                self._without_history[bridge.tenant_id] = None
                return None
            acks = self._acks.setdefault(bridge, await PublishAcks.open(bridge))
        return acks


class ReplayPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a subscription starts to replay: it reads from `start`, and delivers what is after `after_seq`."""

    start: StreamStart
    after_seq: int


async def find_replay_position(bridge: Bridge, subject: str, query: HistoryQuery) -> ReplayPosition:
    """Returns where a subscription starts; HistoryUnavailable, BrokerUnavailable, InvalidRequest."""
    last_seq = await get_last_seq(bridge, subject)
    if query.last == 0:
        return ReplayPosition(start={"seq": last_seq + 1}, after_seq=last_seq)
    start = await _find_start(bridge, subject, query)
    seq = start.get("seq")
    if isinstance(seq, int):
        return ReplayPosition(start=start, after_seq=min(seq - 1, last_seq))
    page, _ = await read_stream_page(bridge, subject, start, 1)
    after_seq = page[0].seq - 1 if page else last_seq
    return ReplayPosition(start={"seq": after_seq + 1}, after_seq=after_seq)


async def _find_start(bridge: Bridge, subject: str, query: HistoryQuery) -> StreamStart:
    if query.since is not None and query.last is not None:
        raise _invalid("last", "Give either since or last")
    if query.last is not None:
        return {"seq": await find_seq_from_end(bridge, subject, query.last)}
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
    return {"start_time": since.isoformat()}


def _to_history_message(channel_id: str, stored: StreamMessage) -> HistoryMessage:
    return HistoryMessage(
        seq=stored.seq,
        subject=stored.subject,
        channel=channel_id,
        data=Raw(as_json(stored.data)),
        timestamp=stored.timestamp,
        from_=stored.headers.get(FROM_HEADER, UNSET),
        message_id=stored.headers.get(MESSAGE_ID_HEADER, UNSET),
    )


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=(FieldError(field=field, message=message),))
