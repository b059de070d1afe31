"""The token bucket: bursts, refill and the long-term rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common import token_bucket
from artcafe_common.token_bucket import MIN_BURST, TokenBucket
from support.fakes.clock import FakeClock


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(token_bucket, "time", clock)
    return clock


def consume_all(bucket, attempts=10_000):
    """The number of tokens that the bucket has."""
    for taken in range(attempts):
        if not bucket.try_consume():
            return taken
    return attempts


@pytest.mark.parametrize(("rate", "burst"), [(1, 100), (50, 100), (1_000, 100), (5_000, 500)])
def test_burst_is_a_tenth_of_a_second_and_at_least_100(clock, rate, burst):
    assert consume_all(TokenBucket(rate)) == burst


def test_empty_bucket_refills_at_its_rate(clock):
    bucket = TokenBucket(10)
    consume_all(bucket)
    clock.advance(2.5)
    assert consume_all(bucket) == 25


def test_empty_bucket_refills_no_more_than_the_burst(clock):
    bucket = TokenBucket(10)
    consume_all(bucket)
    clock.advance(1_000_000)
    assert consume_all(bucket) == 100


def test_full_bucket_saves_no_time_beyond_the_burst(clock):
    bucket = TokenBucket(10)
    clock.advance(1_000_000)
    assert consume_all(bucket) == 100
    clock.advance(1_000_000)
    assert bucket.try_consume(60)
    clock.advance(2)
    assert consume_all(bucket) == 60


def test_rate_of_zero_is_no_limit(clock):
    assert consume_all(TokenBucket(0)) == 10_000


@given(
    st.floats(1, 5_000),
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 300)), max_size=20),
)
def test_consumption_never_exceeds_burst_and_rate(rate, steps):
    clock = FakeClock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_bucket, "time", clock)
        bucket, consumed = TokenBucket(rate), 0
        started_at = clock.now
        for pause, attempts in steps:
            clock.advance(pause)
            consumed += consume_all(bucket, attempts)
            allowed = max(rate / 10, MIN_BURST) + rate * (clock.now - started_at)
            assert consumed <= allowed + 1e-6 * rate
