"""Pure rules of days, hours and billing periods, all of them in UTC."""

import calendar
import math
from datetime import UTC, date, datetime, timedelta

import msgspec

from artcafe_common.contracts.metering import InvalidPeriod, QuotaUsage

DEFAULT_DAYS = 7
MAX_DAYS = 366
# Redis keeps a day this long; the days before it are read from DynamoDB.
KEPT_DAYS = 90
# The first minutes of a month say nothing about the rest of it.
LEAST_ELAPSED = timedelta(hours=1)


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """When something is counted, as the counters' keys spell it: `20260131` and `13`."""

    day: str
    hour: str


def stamp(at: datetime) -> Stamp:
    """The day and hour of a moment."""
    at = at.astimezone(UTC)
    return Stamp(day=day_key(at.date()), hour=f"{at.hour:02}")


def day_key(day: date) -> str:
    """A day as the counters' keys spell it."""
    return day.strftime("%Y%m%d")


def days_of(start: date | None, end: date | None, *, today: date) -> list[date]:
    """Every day of a period, both ends included; InvalidPeriod when it is reversed or too long."""
    last = end or today
    try:
        first = start or last - timedelta(days=DEFAULT_DAYS - 1)
    except OverflowError:
        raise InvalidPeriod("the period begins before the first day that there is") from None
    length = (last - first).days + 1
    if length < 1:
        raise InvalidPeriod("start_date is not after end_date")
    if length > MAX_DAYS:
        raise InvalidPeriod(f"a period has at most {MAX_DAYS} days")
    return [first + timedelta(days=n) for n in range(length)]


def kept(day: date, *, today: date) -> bool:
    """Whether the counters still hold a day."""
    return (today - day).days < KEPT_DAYS


def last_hours(now: datetime, hours: int = 24) -> list[datetime]:
    """The beginnings of the last hours, the present one last."""
    current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [current - timedelta(hours=n) for n in reversed(range(hours))]


def month_of(now: datetime) -> tuple[date, date]:
    """The first and last day of the billing period."""
    today = now.astimezone(UTC).date()
    _, length = calendar.monthrange(today.year, today.month)
    return today.replace(day=1), today.replace(day=length)


def projected(used: int, now: datetime) -> int:
    """What the whole billing period comes to if it goes on as it began; never less than `used`."""
    first, last = month_of(now)
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    whole = timedelta(days=last.day)
    elapsed = max(now - begin, LEAST_ELAPSED)
    return max(used, math.ceil(used * (whole / elapsed)))


def quota(used: int, limit: int | None, now: datetime) -> QuotaUsage:
    """One limited thing in the billing period so far."""
    percent = None if limit is None else round(100 * used / limit, 2) if limit else 100.0
    return QuotaUsage(used=used, limit=limit, percent=percent, projected=projected(used, now))
