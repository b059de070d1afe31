"""The activity log as JSON Lines or CSV, page by page: at most one page is in memory."""

from collections.abc import AsyncIterator

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.tenancy.activity import Activity, ListActivity
from artcafe_gateway.http.csv_response import encode_rows

MAX_ENTRIES = 100_000
PAGE_SIZE = 200


async def export_activity(
    bus: Bus, first: ListActivity, caller: CallerContext, *, as_csv: bool
) -> AsyncIterator[bytes]:
    """The entries that a query selects, newest first, at most MAX_ENTRIES. Raises CommandError."""
    fields = Activity.__struct_fields__
    command: ListActivity | None = msgspec.structs.replace(first, limit=PAGE_SIZE)
    written = 0
    if as_csv:
        yield encode_rows(fields, ())
    while command is not None:
        page = await bus.call(command, caller=caller)
        logs = page.logs[: MAX_ENTRIES - written]
        written += len(logs)
        if logs:
            yield encode_rows(fields, logs, header=False) if as_csv else _to_lines(logs)
        more = page.next_cursor is not None and written < MAX_ENTRIES
        command = msgspec.structs.replace(command, cursor=page.next_cursor) if more else None


def _to_lines(logs: list[Activity]) -> bytes:
    return b"".join(msgspec.json.encode(each) + b"\n" for each in logs)
