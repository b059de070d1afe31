"""Periods of usage, and projections of a month."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from artcafe_common.contracts.metering import InvalidPeriod
from artcafe_metering.periods import (
    billing_month,
    days_in_period,
    is_in_redis,
    last_hours,
    last_minutes,
    project_usage,
    quota_usage,
    time_bucket,
)

TODAY = date(2026, 3, 15)


def test_default_period_is_seven_days():
    days = days_in_period(None, None, today=TODAY)
    assert (days[0], days[-1], len(days)) == (date(2026, 3, 9), TODAY, 7)


def test_one_date_completes_the_period():
    assert days_in_period(date(2026, 3, 14), None, today=TODAY) == [date(2026, 3, 14), TODAY]
    assert days_in_period(None, date(2026, 3, 1), today=TODAY)[0] == date(2026, 2, 23)


def test_period_of_one_day():
    assert days_in_period(TODAY, TODAY, today=TODAY) == [TODAY]


def test_reversed_period_is_rejected():
    with pytest.raises(InvalidPeriod):
        days_in_period(TODAY, TODAY - timedelta(days=1), today=TODAY)


def test_period_has_at_most_366_days():
    assert len(days_in_period(TODAY - timedelta(days=365), TODAY, today=TODAY)) == 366
    with pytest.raises(InvalidPeriod):
        days_in_period(TODAY - timedelta(days=366), TODAY, today=TODAY)


def test_period_before_the_stored_days_is_rejected():
    first = TODAY - timedelta(days=89)
    assert days_in_period(first, None, today=TODAY, stored_days=90)[0] == first
    with pytest.raises(InvalidPeriod):
        days_in_period(first - timedelta(days=1), first, today=TODAY, stored_days=90)


def test_ninety_days_are_in_redis():
    assert is_in_redis(TODAY - timedelta(days=89), today=TODAY)
    assert not is_in_redis(TODAY - timedelta(days=90), today=TODAY)


def test_timestamp_is_in_utc():
    west = timezone(timedelta(hours=-5))
    when = time_bucket(datetime(2026, 1, 31, 22, 30, tzinfo=west))
    assert (when.day, when.hour, when.minute) == ("20260201", "03", "30")


def test_last_hours_cross_midnight():
    hours = last_hours(datetime(2026, 3, 15, 1, 20, tzinfo=UTC))
    assert len(hours) == 24
    assert hours[0] == datetime(2026, 3, 14, 2, tzinfo=UTC)
    assert hours[-1] == datetime(2026, 3, 15, 1, tzinfo=UTC)


def test_last_minutes_include_the_current_one():
    minutes = last_minutes(datetime(2026, 3, 15, 0, 20, 42, tzinfo=UTC))
    assert len(minutes) == 60
    assert minutes[0] == datetime(2026, 3, 14, 23, 21, tzinfo=UTC)
    assert minutes[-1] == datetime(2026, 3, 15, 0, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        (datetime(2026, 2, 28, 23, 59, tzinfo=UTC), date(2026, 2, 28)),
        (datetime(2028, 2, 1, tzinfo=UTC), date(2028, 2, 29)),
        (datetime(2026, 12, 31, 12, tzinfo=UTC), date(2026, 12, 31)),
    ],
)
def test_billing_period_is_a_calendar_month(now, last):
    assert billing_month(now) == (last.replace(day=1), last)


def test_projection_scales_with_the_elapsed_time():
    assert project_usage(100, datetime(2026, 4, 16, tzinfo=UTC)) == 200
    assert project_usage(0, datetime(2026, 4, 16, tzinfo=UTC)) == 0


def test_projection_is_never_below_the_usage():
    assert project_usage(7, datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC)) >= 7


def test_projection_at_the_start_of_a_month_is_bounded():
    assert project_usage(1, datetime(2026, 4, 1, tzinfo=UTC)) == 30 * 24


def test_quota_without_a_limit_has_no_percentage():
    now = datetime(2026, 4, 16, tzinfo=UTC)
    assert quota_usage(50, None, now).percent is None
    assert quota_usage(50, 200, now).percent == 25.0
    assert quota_usage(300, 200, now).percent == 150.0
