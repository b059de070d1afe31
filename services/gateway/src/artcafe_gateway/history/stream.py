"""Reads a tenant's history stream with JetStream's direct get, over the tenant's bridge."""

from collections.abc import Callable
from datetime import datetime

import msgspec
from nats.aio.msg import Msg

from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.errors import HistoryUnavailable

DIRECT_GET_SUBJECT = f"$JS.API.DIRECT.GET.{HISTORY_STREAM}"
# A page ends early when its payloads exceed about this size.
MAX_PAGE_BYTES = 4 * 1024 * 1024
_NO_RESPONDERS = "503"

# Where the broker starts to read: `{"seq": …}` or `{"start_time": …}`.
StreamStart = dict[str, object]


class StreamMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A stored message; `pending` messages of the same subject follow it."""

    seq: int
    subject: str
    headers: dict[str, str]
    data: bytes
    pending: int

    @property
    def timestamp(self) -> datetime:
        """When it was stored."""
        return msgspec.convert(self.headers["Nats-Time-Stamp"], datetime)


async def read_stream_page(
    bridge: Bridge, subject: str, start: StreamStart, limit: int, max_bytes: int = MAX_PAGE_BYTES
) -> tuple[list[StreamMessage], bool]:
    """Returns stored messages of a subject, and whether more follow; HistoryUnavailable, BrokerUnavailable."""
    query = {**start, "next_by_subj": subject, "batch": limit, "max_bytes": max_bytes}
    messages = await _direct_get(bridge, query, is_last=lambda message: "Status" in _headers(message))
    return messages, bool(messages) and messages[-1].pending > 0


async def get_last_seq(bridge: Bridge, subject: str) -> int:
    """Returns the sequence number of a subject's newest message; 0 without one."""
    messages = await _direct_get(bridge, {"last_by_subj": subject}, is_last=lambda _: True)
    return messages[0].seq if messages else 0


async def count_from(bridge: Bridge, subject: str, seq: int) -> tuple[int, int]:
    """Returns the first sequence number of a subject from `seq` on, and the number of messages from it on."""
    messages, _ = await read_stream_page(bridge, subject, {"seq": seq}, 1)
    return (messages[0].seq, messages[0].pending + 1) if messages else (seq, 0)


async def find_seq_from_end(bridge: Bridge, subject: str, count: int) -> int:
    """Returns the sequence number of the first of the newest `count` messages; 1 if there are no more."""
    first, stored = await count_from(bridge, subject, 1)
    if stored <= count:
        return 1
    low, high = first, await get_last_seq(bridge, subject)
    # Binary search: from `low` on there are at least `count` messages.
    while low < high:
        middle = (low + high + 1) // 2
        seq, following = await count_from(bridge, subject, middle)
        if following >= count:
            low = seq
            if following == count:
                break
        else:
            high = middle - 1
    return low


async def _direct_get(
    bridge: Bridge, query: dict[str, object], *, is_last: Callable[[Msg], bool]
) -> list[StreamMessage]:
    messages = []
    payload = msgspec.json.encode(query)
    for reply in await bridge.stream_request(DIRECT_GET_SUBJECT, payload, is_last=is_last):
        headers = _headers(reply)
        if headers.get("Status") == _NO_RESPONDERS:
            raise HistoryUnavailable
        if "Status" not in headers:
            messages.append(
                StreamMessage(
                    seq=int(headers["Nats-Sequence"]),
                    subject=headers["Nats-Subject"],
                    headers=headers,
                    data=reply.data,
                    pending=int(headers.get("Nats-Num-Pending", "0")),
                )
            )
    return messages


def _headers(message: Msg) -> dict[str, str]:
    return {str(name): value for name, value in (message.headers or {}).items()}
