"""Rate limits on REST calls: which bucket a call is counted in."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.storage.rate_limiter import RateLimiter, RateLimitResult
from artcafe_gateway.limits.rate_limits import RateLimits, network_of
from artcafe_gateway.settings import Settings
from support.fakes.ids import OTHER_TENANT, TENANT

ALLOWED = RateLimitResult(allowed=True, limit=1, remaining=0, reset_s=1, retry_after_s=1)


class FakeRateLimiter:
    """Records the buckets of each call."""

    def __init__(self):
        self.acquired = []
        self.error = None

    async def acquire(self, limits):
        if self.error is not None:
            raise self.error
        self.acquired.append({name: (limit.limit, limit.period_s) for name, limit in limits.items()})
        return ALLOWED


@pytest.fixture
def limiter():
    return FakeRateLimiter()


def limits(limiter, **settings):
    return RateLimits(limiter, Settings(**settings))


@pytest.mark.parametrize("plan", [plan for plan in Plan if LIMITS[plan].api_calls_per_minute])
async def test_tenant_is_limited_by_its_plan(limiter, plan):
    assert await limits(limiter).check_tenant(TENANT, plan) is ALLOWED
    assert limiter.acquired == [{f"tenant:{TENANT}": (LIMITS[plan].api_calls_per_minute, 60)}]


async def test_plan_without_a_limit_costs_no_call_of_the_store(limiter):
    assert await limits(limiter).check_tenant(TENANT, Plan.ENTERPRISE) is None
    assert limiter.acquired == []


async def test_user_and_address_are_limited_by_the_settings(limiter):
    rate_limits = limits(limiter, user_calls_per_minute=7, address_calls_per_minute=8)
    await rate_limits.check_user("u")
    await rate_limits.check_address("192.0.2.1")
    assert limiter.acquired == [{"user:u": (7, 60)}, {"ip:192.0.2.1": (8, 60)}]


async def test_limit_of_zero_disables_it(limiter):
    rate_limits = limits(
        limiter,
        user_calls_per_minute=0,
        address_calls_per_minute=0,
        email_logins_per_minute=0,
        address_logins_per_minute=0,
    )
    assert await rate_limits.check_user("u") is None
    assert await rate_limits.check_address("192.0.2.1") is None
    assert await rate_limits.check_login("192.0.2.1", "a@example.com") is None
    assert limiter.acquired == []


async def test_login_is_counted_by_email_and_address(limiter):
    await limits(limiter).check_login("192.0.2.1", "a@example.com")
    (buckets,) = limiter.acquired
    assert len(buckets) == 2
    assert "login:ip:192.0.2.1" in buckets


async def test_email_is_hashed_and_normalized(limiter):
    for email in ("a@example.com", " A@Example.com ", "b@example.com", "\ud800"):
        await limits(limiter).check_login("192.0.2.1", email)
    names = [next(name for name in buckets if "email" in name) for buckets in limiter.acquired]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert all("@" not in name and len(name) == len(names[0]) for name in names)


async def test_outage_of_the_store_disables_the_limits(limiter):
    limiter.error = StoreUnavailable()
    assert await limits(limiter).check_tenant(TENANT, Plan.FREE) is None
    assert await limits(limiter).check_login("192.0.2.1", "a@example.com") is None


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_addresses_of_one_ipv6_network_share_a_bucket(address, host):
    other = ipaddress.IPv6Address(int(address) & ~(2**64 - 1) | host)
    assert network_of(str(address)) == network_of(str(other))
    neighbour = ipaddress.IPv6Address(int(address) ^ 2**64)
    assert network_of(str(neighbour)) != network_of(str(address))


@given(st.ip_addresses(v=4))
def test_each_ipv4_address_has_its_own_bucket(address):
    assert network_of(str(address)) == str(address)


# -- with Redis ------------------------------------------------------------------------------------


async def test_calls_above_the_limit_are_rejected(redis_client):
    rate_limits = RateLimits(RateLimiter(redis_client), Settings())
    limit = LIMITS[Plan.FREE].api_calls_per_minute
    results = [await rate_limits.check_tenant(TENANT, Plan.FREE) for _ in range(limit + 1)]
    assert [result.allowed for result in results] == [True] * limit + [False]
    assert [result.remaining for result in results[:3]] == [limit - 1, limit - 2, limit - 3]
    assert results[-1].retry_after_s >= 1
    assert (await rate_limits.check_tenant(OTHER_TENANT, Plan.FREE)).allowed


async def test_rejected_login_consumes_no_token_of_the_other_bucket(redis_client):
    rate_limits = RateLimits(
        RateLimiter(redis_client), Settings(email_logins_per_minute=2, address_logins_per_minute=3)
    )
    attempts = ["a", "a", "a", "a", "b"]
    results = [await rate_limits.check_login("198.51.100.7", f"{name}@example.com") for name in attempts]
    # The rejected attempts for `a` leave the address one more login.
    assert [result.allowed for result in results] == [True, True, False, False, True]
