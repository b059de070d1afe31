"""What channels kept: read from the tenant's stream over its bridge, a page at a time."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from weakref import WeakKeyDictionary

import msgspec
from cachetools import TTLCache
from msgspec import UNSET, Meta, Raw, UnsetType
from nats.aio.msg import Msg

from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.tenancy.fields import CursorText, Limit
from artcafe_common.cursors import CursorCodec
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.message import FROM_HEADER, as_json
from artcafe_gateway.errors import BrokerUnavailable, HistoryUnavailable
from artcafe_gateway.history.acks import PublishAcks

MESSAGE_ID_HEADER = "Artcafe-Message-Id"
DIRECT_GET = f"$JS.API.DIRECT.GET.{HISTORY_STREAM}"
# A page ends early rather than hold more of payloads than about this.
PAGE_BYTES = 4 * 1024 * 1024
MAX_LAST = 10_000
MAX_SEQ = 2**63 - 1
UNKNOWN_S = 2
KNOWN_TENANTS = 20_000
_NOBODY = "503"


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page begins: `since` is a time or a `seq`, `last` so many messages before the end."""

    limit: Limit = 50
    cursor: CursorText | None = None
    since: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    last: Annotated[int, Meta(ge=1, le=MAX_LAST)] | None = None


class HistoryMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it was published; `seq` grows within an organization's channels."""

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
    """Reads and writes channels' history."""

    def __init__(self, cursors: CursorCodec) -> None:
        self._cursors = cursors
        self._acks: WeakKeyDictionary[Bridge, PublishAcks] = WeakKeyDictionary()
        self._not_kept: TTLCache[str, None] = TTLCache(KNOWN_TENANTS, UNKNOWN_S)

    async def read_page(
        self, bridge: Bridge, channel_id: str, subject: str, query: HistoryQuery
    ) -> HistoryPage:
        """A page of a channel; HistoryUnavailable where nothing is kept."""
        scope = f"messages {channel_id}"
        position = self._cursors.decode(bridge.tenant_id, scope, query.cursor)
        start = {"seq": position["seq"]} if position else await _resolve_start(bridge, subject, query)
        messages, more = await read_stream_page(bridge, subject, start, query.limit)
        after = {"seq": messages[-1].seq + 1} if messages and more else None
        return HistoryPage(
            messages=[to_history_message(channel_id, each) for each in messages],
            next_cursor=self._cursors.encode(bridge.tenant_id, scope, after),
        )

    async def publish(
        self, bridge: Bridge, subject: str, payload: bytes, headers: bytes, *, channel_id: str
    ) -> int | None:
        """Publish to a channel; once the broker has it, its `seq`, or None where nothing is kept."""
        acks = await self.get_acks(bridge, subject)
        if acks is None:
            bridge.publish(subject, payload, headers, channel_id=channel_id)
            await bridge.flush()
            return None
        kept: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        with acks.registered(kept.set_result) as reply:
            bridge.publish(subject, payload, headers, channel_id=channel_id, reply=reply)
            await bridge.flush()
            acks.start_timeout(reply)
            return await kept

    def has_cached_acks(self, bridge: Bridge) -> bool:
        """Whether `cached_acks` can tell of a tenant."""
        return bridge.tenant_id in self._not_kept or bridge in self._acks

    def cached_acks(self, bridge: Bridge) -> PublishAcks | None:
        """As `acks`, for a tenant that is known."""
        return self._acks.get(bridge)

    async def get_acks(self, bridge: Bridge, subject: str) -> PublishAcks | None:
        """Where the stream says that it kept what is published on a channel's subject; None where it does not."""
        if bridge.tenant_id in self._not_kept:
            return None
        found = self._acks.get(bridge)
        if found is None:
            try:
                await _count_from(bridge, subject, 1)
            except (HistoryUnavailable, BrokerUnavailable):
                self._not_kept[bridge.tenant_id] = None
                return None
            found = self._acks.setdefault(bridge, await PublishAcks.open(bridge))
        return found


class StreamMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the stream has it, and how many of its channel follow."""

    seq: int
    subject: str
    headers: dict[str, str]
    data: bytes
    pending: int

    @property
    def timestamp(self) -> datetime:
        """When it was kept."""
        return msgspec.convert(self.headers["Nats-Time-Stamp"], datetime)


class ReplayPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where to start in a channel's history: how the stream is asked, and what is not sent in any case."""

    start: dict[str, object]
    after_seq: int


def to_history_message(channel_id: str, stored: StreamMessage) -> HistoryMessage:
    """A message as it is shown."""
    return HistoryMessage(
        seq=stored.seq,
        subject=stored.subject,
        channel=channel_id,
        data=Raw(as_json(stored.data)),
        timestamp=stored.timestamp,
        from_=stored.headers.get(FROM_HEADER, UNSET),
        message_id=stored.headers.get(MESSAGE_ID_HEADER, UNSET),
    )


async def find_replay_position(bridge: Bridge, subject: str, query: HistoryQuery) -> ReplayPosition:
    """Where a subscription begins; HistoryUnavailable where nothing is kept."""
    newest = await _get_last_seq(bridge, subject)
    if query.last == 0:
        return ReplayPosition(start={"seq": newest + 1}, after_seq=newest)
    start = await _resolve_start(bridge, subject, query)
    seq = start.get("seq")
    if isinstance(seq, int):
        return ReplayPosition(start=start, after_seq=min(seq - 1, newest))
    page, _ = await read_stream_page(bridge, subject, start, 1)
    after = page[0].seq - 1 if page else newest
    return ReplayPosition(start={"seq": after + 1}, after_seq=after)


async def _resolve_start(bridge: Bridge, subject: str, query: HistoryQuery) -> dict[str, object]:
    if query.since is not None and query.last is not None:
        raise _invalid("last", "Give either since or last")
    if query.last is not None:
        return {"seq": await _find_seq_from_end(bridge, subject, query.last)}
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
        raise _invalid("since", "Expected a seq, or a time as in RFC 3339 with its zone")
    return {"start_time": since.isoformat()}


async def _find_seq_from_end(bridge: Bridge, subject: str, count: int) -> int:
    """The seq of the message that is `count` from the end; 1 when there are no more than that."""
    first, kept = await _count_from(bridge, subject, 1)
    if kept <= count:
        return 1
    low, high = first, await _get_last_seq(bridge, subject)
    # From `low` on there are at least `count`; the broker counts what follows, wherever one asks.
    while low < high:
        middle = (low + high + 1) // 2
        seq, following = await _count_from(bridge, subject, middle)
        if following >= count:
            low = seq
            if following == count:
                break
        else:
            high = middle - 1
    return low


async def _count_from(bridge: Bridge, subject: str, seq: int) -> tuple[int, int]:
    messages, _ = await read_stream_page(bridge, subject, {"seq": seq}, 1)
    return (messages[0].seq, messages[0].pending + 1) if messages else (seq, 0)


async def _get_last_seq(bridge: Bridge, subject: str) -> int:
    found = await _direct_get(bridge, {"last_by_subj": subject}, is_last=lambda _: True)
    return found[0].seq if found else 0


async def read_stream_page(
    bridge: Bridge, subject: str, start: dict[str, object], limit: int, max_bytes: int = PAGE_BYTES
) -> tuple[list[StreamMessage], bool]:
    """A page of what is kept of a channel, and whether there is more; HistoryUnavailable, BrokerUnavailable."""
    query = {**start, "next_by_subj": subject, "batch": limit, "max_bytes": max_bytes}
    messages = await _direct_get(bridge, query, is_last=lambda message: "Status" in _headers(message))
    return messages, bool(messages) and messages[-1].pending > 0


async def _direct_get(
    bridge: Bridge, query: dict[str, object], *, is_last: Callable[[Msg], bool]
) -> list[StreamMessage]:
    stored = []
    for message in await bridge.stream_request(DIRECT_GET, msgspec.json.encode(query), is_last=is_last):
        headers = _headers(message)
        if headers.get("Status") == _NOBODY:
            raise HistoryUnavailable
        if "Status" not in headers:
            stored.append(
                StreamMessage(
                    seq=int(headers["Nats-Sequence"]),
                    subject=headers["Nats-Subject"],
                    headers=headers,
                    data=message.data,
                    pending=int(headers.get("Nats-Num-Pending", "0")),
                )
            )
    return stored


def _headers(message: Msg) -> dict[str, str]:
    return {str(name): value for name, value in (message.headers or {}).items()}


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=(FieldError(field=field, message=message),))
