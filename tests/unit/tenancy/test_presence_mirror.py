"""Times in the presence mirror are integers."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.clock import new_id
from artcafe_tenancy import presence_mirror

TENANT = new_id()
OTHER = new_id()


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
def test_time_round_trip_in_microseconds(moment):
    aware = moment.replace(tzinfo=UTC)
    assert presence_mirror.from_microseconds(presence_mirror.to_microseconds(aware)) == aware
    assert presence_mirror.to_microseconds(aware) < presence_mirror.to_microseconds(
        aware + timedelta(microseconds=1)
    )
