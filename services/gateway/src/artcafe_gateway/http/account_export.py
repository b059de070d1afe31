"""Everything that an organization can read of itself, as JSON Lines.

Each line is an object with a `type` and its `data`. The first line has the type `export`, and the last one `end`: without
it, the export is not complete.
"""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.clock import now
from artcafe_common.contracts.metering import GetUsageMetrics
from artcafe_common.contracts.tenancy.accounts import Account
from artcafe_common.contracts.tenancy.activity import MAX_HOURS, ListActivity
from artcafe_common.contracts.tenancy.agents import ListAgents
from artcafe_common.contracts.tenancy.channels import ListChannels
from artcafe_common.contracts.tenancy.clients import ListClients
from artcafe_common.contracts.tenancy.invitations import ListInvitations
from artcafe_common.contracts.tenancy.list_query import ListQuery
from artcafe_common.contracts.tenancy.members import ListMembers
from artcafe_common.contracts.tenancy.subjects import ListSubjects

MEDIA_TYPE = "application/jsonl"
VERSION = 1
PAGE_SIZE = 200
# The longest period of one command.
USAGE_DAYS = 366
# By the type of their records, and the field of a page that contains them.
LISTS: dict[str, tuple[ListQuery[Any], str]] = {
    "member": (ListMembers(limit=PAGE_SIZE), "members"),
    "invitation": (ListInvitations(limit=PAGE_SIZE), "invitations"),
    "client": (ListClients(limit=PAGE_SIZE), "clients"),
    "agent": (ListAgents(limit=PAGE_SIZE), "agents"),
    "channel": (ListChannels(limit=PAGE_SIZE), "channels"),
    "subject": (ListSubjects(limit=PAGE_SIZE), "subjects"),
    "activity": (ListActivity(limit=PAGE_SIZE, hours=MAX_HOURS), "logs"),
}
COMMANDS = [*(type(command) for command, _ in LISTS.values()), GetUsageMetrics]


async def export_account(bus: Bus, account: Account, caller: CallerContext) -> AsyncIterator[bytes]:
    """The lines of an export, some at a time: at most one page is in memory. Raises CommandError."""
    yield _line("export", {"version": VERSION, "account_id": account.account_id, "exported_at": now()})
    yield _line("account", account)
    records = 1
    for kind, (first, field) in LISTS.items():
        command: ListQuery[Any] | None = first
        while command is not None:
            page = await bus.call(command, caller=caller)
            items = getattr(page, field)
            records += len(items)
            if items:
                yield b"".join(_line(kind, item) for item in items)
            cursor = page.next_cursor
            command = None if cursor is None else msgspec.structs.replace(first, cursor=cursor)
    for start, end in _periods(account.created_at.date(), now().date()):
        period = GetUsageMetrics(plan=account.plan, start_date=start, end_date=end)
        days = (await bus.call(period, caller=caller)).daily
        records += len(days)
        yield b"".join(_line("usage", day) for day in days)
    yield _line("end", {"records": records})


def _line(kind: str, data: Any) -> bytes:
    return msgspec.json.encode({"type": kind, "data": data}) + b"\n"


def _periods(first: date, last: date) -> list[tuple[date, date]]:
    starts = [first + timedelta(days=n) for n in range(0, (last - first).days + 1, USAGE_DAYS)]
    return [(start, min(last, start + timedelta(days=USAGE_DAYS - 1))) for start in starts]
