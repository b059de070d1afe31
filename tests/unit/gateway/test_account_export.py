"""The export of an organization, over lists of several pages."""

from datetime import UTC, date, datetime, timedelta

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.clock import now
from artcafe_common.contracts.metering import DayUsage, GetUsageMetrics, UsageCounts, UsageMetrics
from artcafe_common.contracts.tenancy.accounts import Account, AccountStatus
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import LIMITS, Plan
from artcafe_gateway.http.account_export import LISTS, PAGE_SIZE, USAGE_DAYS, export_account

PAGES = 3
FIRST_DAY = (now() - timedelta(days=USAGE_DAYS + 10)).date()
ACCOUNT = Account(
    account_id="T",
    name="Acme",
    description="",
    status=AccountStatus.ACTIVE,
    plan=Plan.PRO,
    role=Role.OWNER,
    limits=LIMITS[Plan.PRO],
    metadata={},
    created_at=datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 12, tzinfo=UTC),
    updated_at=now(),
)
CALLER = CallerContext(request_id="r", tenant_id="T", actor="user:u", role="owner")


class Bus:
    """Answers each list with pages of one item, whose number is the cursor, and usage with every day of the period."""

    def __init__(self):
        self.periods = []

    async def call(self, command, *, caller):
        assert caller == CALLER
        if isinstance(command, GetUsageMetrics):
            self.periods.append((command.start_date, command.end_date))
            days = (command.end_date - command.start_date).days + 1
            daily = [_day(command.start_date + timedelta(days=n)) for n in range(days)]
            return UsageMetrics(daily=daily, totals=UsageCounts(), limits=LIMITS[Plan.PRO])
        assert command.limit == PAGE_SIZE
        number = int(command.cursor or 0)
        page = {"next_cursor": str(number + 1) if number + 1 < PAGES else None}
        field = next(field for first, field in LISTS.values() if type(first) is type(command))
        return msgspec.defstruct("Page", [field, "next_cursor"])([{"number": number}], page["next_cursor"])


def _day(day):
    counts = dict.fromkeys(DayUsage.__struct_fields__, 0)
    return DayUsage(**{**counts, "date": day})


async def test_every_page_and_every_day_is_exported_in_order():
    bus = Bus()
    chunks = [chunk async for chunk in export_account(bus, ACCOUNT, CALLER)]
    lines = [msgspec.json.decode(line) for line in b"".join(chunks).splitlines()]
    assert lines[0]["data"]["version"] == 1
    for kind in LISTS:
        assert [line["data"]["number"] for line in lines if line["type"] == kind] == list(range(PAGES))
    days = [date.fromisoformat(line["data"]["date"]) for line in lines if line["type"] == "usage"]
    assert days == [FIRST_DAY + timedelta(days=n) for n in range((now().date() - FIRST_DAY).days + 1)]
    assert [(end - start).days + 1 for start, end in bus.periods] == [USAGE_DAYS, 11]
    assert lines[-1] == {"type": "end", "data": {"records": len(lines) - 2}}
