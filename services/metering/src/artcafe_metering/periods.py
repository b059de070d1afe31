"""Days, hours and billing periods; all in UTC."""

import calendar
import math
from datetime import UTC, date, datetime, timedelta

import msgspec

from artcafe_common.contracts.metering import InvalidPeriod, QuotaUsage

DEFAULT_DAYS = 7
MAX_DAYS = 366
# Older days have expired in Redis and are read from DynamoDB.
REDIS_RETENTION_DAYS = 90
# The events stream keeps a gateway's batch for this long, so it can arrive this late.
LATE_DAYS = 8
# Keeps the first minutes of a month from projecting to a huge total.
MIN_ELAPSED = timedelta(hours=1)


class TimeBucket(msgspec.Struct, frozen=True, kw_only=True):
    """The day, hour and minute of a count, as counter keys spell them: `20260131`, `13` and `07`."""

    day: str
    hour: str
    minute: str


def time_bucket(at: datetime) -> TimeBucket:
    """The bucket of a time."""
    at = at.astimezone(UTC)
    return TimeBucket(day=day_key(at.date()), hour=f"{at.hour:02}", minute=f"{at.minute:02}")


def day_key(day: date) -> str:
    """A day as counter keys spell it: `20260131`."""
    return day.strftime("%Y%m%d")


def days_in_period(
    start: date | None, end: date | None, *, today: date, stored_days: int | None = None
) -> list[date]:
    """Every day of a period, both ends included.

    Raises InvalidPeriod if it is reversed, too long, or begins before the days that are stored.
    """
    last = end or today
    try:
        first = start or last - timedelta(days=DEFAULT_DAYS - 1)
    except OverflowError:
        raise InvalidPeriod("end_date is too early") from None
    length = (last - first).days + 1
    if length < 1:
        raise InvalidPeriod("start_date must not be after end_date")
    if length > MAX_DAYS:
        raise InvalidPeriod(f"the period must not exceed {MAX_DAYS} days")
    if stored_days is not None and (today - first).days >= stored_days:
        raise InvalidPeriod(f"this usage is stored for {stored_days} days only")
    return [first + timedelta(days=n) for n in range(length)]


def is_in_redis(day: date, *, today: date) -> bool:
    """Whether the counters of a day have not expired yet."""
    return (today - day).days < REDIS_RETENTION_DAYS


def last_hours(now: datetime, hours: int = 24) -> list[datetime]:
    """The start times of the last hours, oldest first, including the current hour."""
    current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [current - timedelta(hours=n) for n in reversed(range(hours))]


def last_minutes(now: datetime, minutes: int = 60) -> list[datetime]:
    """The start times of the last minutes, oldest first, including the current minute."""
    current = now.astimezone(UTC).replace(second=0, microsecond=0)
    return [current - timedelta(minutes=n) for n in reversed(range(minutes))]


def billing_month(now: datetime) -> tuple[date, date]:
    """The first and last day of the billing period."""
    today = now.astimezone(UTC).date()
    _, length = calendar.monthrange(today.year, today.month)
    return today.replace(day=1), today.replace(day=length)


def project_usage(used: int, now: datetime) -> int:
    """The usage at the end of the billing period at the current rate; never less than `used`."""
    first, last = billing_month(now)
    began_at = datetime(first.year, first.month, first.day, tzinfo=UTC)
    elapsed = max(now - began_at, MIN_ELAPSED)
    return max(used, math.ceil(used * (timedelta(days=last.day) / elapsed)))


def quota_usage(used: int, limit: int | None, now: datetime) -> QuotaUsage:
    """The usage of a limited resource in the current billing period."""
    percent = None if limit is None else round(100 * used / limit, 2) if limit else 100.0
    return QuotaUsage(used=used, limit=limit, percent=percent, projected=project_usage(used, now))
