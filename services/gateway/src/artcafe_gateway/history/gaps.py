"""Messages of a channel that its stream does not keep any more, and that a subscriber has not received.

A stream does not record what it removed. It removes the oldest messages first, so nothing after a message that is still
there is missing. Without such a message, all that is before the first stored one is a gap, although it may have been
messages of other channels.
"""

from datetime import datetime, timedelta

import msgspec

from artcafe_common.concurrency import run_together
from artcafe_common.contracts.tenancy.history import MESSAGES_PER_CHANNEL
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.history.stream import (
    ANY_SUBJECT,
    StreamMessage,
    StreamState,
    get_message,
    get_stream_state,
    read_stream_page,
)

# The clocks of the platform's hosts agree within this time.
CLOCK_MARGIN = timedelta(seconds=30)


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Sequence numbers that a subscriber asked for and that are not stored any more, both included."""

    from_seq: int
    to_seq: int


async def find_gap(bridge: Bridge, subject: str, seq: int, *, seen_until: datetime | None) -> Gap | None:
    """Returns what is missing from `seq` on, if no message before `seen_until` is; HistoryUnavailable, BrokerUnavailable.

    A number beyond the end of the stream, which was lost or restored then, is missing as well.
    """
    previous = await get_message(bridge, seq - 1) if seq > 1 else None
    if previous is not None and previous.subject == subject:
        return None
    first, own = await run_together(_read_first(bridge, ANY_SUBJECT), _read_first(bridge, subject))
    if not first:
        state = await get_stream_state(bridge)
        # What was stored meanwhile is not missing.
        first = await _read_first(bridge, ANY_SUBJECT)
        if not first:
            return _gap_of_empty_stream(state, seq, seen_until)
    # The oldest message of the stream, and of a channel that has as many as it may have.
    oldest = first + [each for each in own if each.pending + 1 >= MESSAGES_PER_CHANNEL]
    if any(each.seq > seq and _is_after(each.timestamp, seen_until) for each in oldest):
        return Gap(from_seq=seq, to_seq=(own or first)[0].seq - 1)
    if previous is not None or seq == 1:
        return None
    return _gap_after_end(await get_stream_state(bridge), seq)


def include_purge(gap: Gap | None, seq: int, purged_seq: int) -> Gap | None:
    """Returns the gap from `seq` on, with the messages up to `purged_seq`, which were deleted."""
    if seq > purged_seq:
        return gap
    return Gap(from_seq=seq, to_seq=purged_seq if gap is None else max(gap.to_seq, purged_seq))


async def _read_first(bridge: Bridge, subject: str) -> list[StreamMessage]:
    page, _ = await read_stream_page(bridge, subject, {"seq": 1}, 1)
    return page


def _gap_of_empty_stream(state: StreamState, seq: int, seen_until: datetime | None) -> Gap | None:
    if seq <= state.last_seq and _is_after(state.last_ts, seen_until):
        return Gap(from_seq=seq, to_seq=state.last_seq)
    return _gap_after_end(state, seq)


def _gap_after_end(state: StreamState, seq: int) -> Gap | None:
    return Gap(from_seq=state.last_seq + 1, to_seq=seq - 1) if seq > state.last_seq + 1 else None


async def read_page_after(
    bridge: Bridge,
    subject: str,
    after_seq: int,
    limit: int,
    max_bytes: int,
    *,
    seen_until: datetime | None = None,
) -> tuple[list[StreamMessage], bool, Gap | None]:
    """Returns as `read_stream_page` what follows a delivered message, and what is missing before it."""
    page, has_more = await read_stream_page(bridge, subject, {"seq": after_seq + 1}, limit, max_bytes)
    if not after_seq or (page and page[0].seq == after_seq + 1):
        return page, has_more, None
    gap = await find_gap(bridge, subject, after_seq + 1, seen_until=seen_until)
    if gap is not None and page:
        gap = Gap(from_seq=after_seq + 1, to_seq=page[0].seq - 1)
    return page, has_more, gap


def _is_after(timestamp: datetime, seen_until: datetime | None) -> bool:
    return seen_until is None or timestamp > seen_until
