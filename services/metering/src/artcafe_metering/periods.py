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
# Keeps the first minutes of a month from projecting to a huge total.
MIN_ELAPSED = timedelta(hours=1)


class HourBucket(msgspec.Struct, frozen=True, kw_only=True):
    """The day and hour of a count, as counter keys spell them: `20260131` and `13`."""

    day: str
    hour: str


def hour_bucket(at: datetime) -> HourBucket:
    """The bucket of a time."""
    at = at.astimezone(UTC)
    return HourBucket(day=day_key(at.date()), hour=f"{at.hour:02}")


def day_key(day: date) -> str:
    """A day as counter keys spell it: `20260131`."""
    return day.strftime("%Y%m%d")


def days_in_period(start: date | None, end: date | None, *, today: date) -> list[date]:
    """Every day of a period, both ends included; raises InvalidPeriod if it is reversed or too long."""
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
    return [first + timedelta(days=n) for n in range(length)]


def is_in_redis(day: date, *, today: date) -> bool:
    """Whether the counters of a day have not expired yet."""
    return (today - day).days < REDIS_RETENTION_DAYS


def last_hours(now: datetime, hours: int = 24) -> list[datetime]:
    """The start times of the last hours, oldest first, including the current hour."""
    current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [current - timedelta(hours=n) for n in reversed(range(hours))]


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
