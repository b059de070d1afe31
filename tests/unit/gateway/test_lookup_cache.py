"""The lookup cache: each lookup once, invalidated by events, and no failure cached."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import artcafe_common.cache
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import Forbidden, ServiceUnavailable
from artcafe_common.contracts.identity.users import InvalidToken, User, VerifyUserToken
from artcafe_common.contracts.tenancy.accounts import GetAccount
from artcafe_common.contracts.tenancy.channels import ChannelNotFound, GetChannel
from artcafe_common.contracts.tenancy.events import ChannelChanged, MembershipChanged, PlanChanged
from artcafe_common.contracts.tenancy.members import ResolveMembership, Role
from artcafe_common.plans import Plan
from artcafe_gateway import lookup_cache as lookup_module
from artcafe_gateway.lookup_cache import LookupCache
from support.fakes.bus import FakeBus
from support.fakes.ids import CHANNEL, OTHER_TENANT, TENANT

CALLER = CallerContext(request_id="r", tenant_id=TENANT)


class Result(msgspec.Struct, frozen=True):
    """Stands for a reply; the cache does not look into it."""

    text: str
    plan: Plan = Plan.FREE


@pytest.fixture
def clock(clock, monkeypatch):
    monkeypatch.setattr(artcafe_common.cache, "TTLCache", clock.ttl_cache)
    monkeypatch.setattr(lookup_module, "TTLCache", clock.ttl_cache)
    monkeypatch.setattr(lookup_module, "time", clock)
    return clock


def user(clock, *, expires_in=3600):
    fields = dict.fromkeys(User.__struct_fields__)
    expires_at = datetime.fromtimestamp(clock.now, UTC) + timedelta(seconds=expires_in)
    return User(**fields | {"user_id": "u", "expires_at": expires_at})


@pytest.fixture
def bus(clock):
    return FakeBus(
        {
            VerifyUserToken: user(clock),
            ResolveMembership: lambda command: Result(f"member of {command.tenant_id}"),
            GetChannel: lambda command: Result(command.channel_id),
            GetAccount: Result("account", Plan.PRO),
        }
    )


@pytest.fixture
async def cache(bus):
    cache = LookupCache(bus)
    await cache.subscribe()
    return cache


async def membership(cache, clock, tenant_id=TENANT):
    return await cache.membership(user(clock), tenant_id, CALLER)


# -- users -----------------------------------------------------------------------------------------


async def test_user_is_looked_up_once_per_token(cache, bus):
    for _ in range(3):
        assert (await cache.user("token", CALLER)).user_id == "u"
    assert bus.count(VerifyUserToken) == 1
    await cache.user("other", CALLER)
    assert bus.count(VerifyUserToken) == 2


async def test_concurrent_lookups_share_one_call(cache, bus):
    await asyncio.gather(*(cache.user("token", CALLER) for _ in range(20)))
    assert bus.count(VerifyUserToken) == 1


async def test_invalid_token_is_not_cached(cache, bus, clock):
    bus.replies[VerifyUserToken] = InvalidToken()
    for _ in range(2):
        with pytest.raises(InvalidToken):
            await cache.user("token", CALLER)
    bus.replies[VerifyUserToken] = user(clock)
    assert (await cache.user("token", CALLER)).user_id == "u"


async def test_concurrent_failure_reaches_every_caller(cache, bus):
    bus.replies[VerifyUserToken] = ServiceUnavailable()
    outcomes = await asyncio.gather(*(cache.user("t", CALLER) for _ in range(5)), return_exceptions=True)
    assert {type(each) for each in outcomes} == {ServiceUnavailable}
    assert bus.count(VerifyUserToken) == 1


async def test_token_that_expires_in_the_cache_is_rejected(cache, bus, clock):
    bus.replies[VerifyUserToken] = user(clock, expires_in=5)
    await cache.user("token", CALLER)
    clock.advance(34)
    await cache.user("token", CALLER)
    clock.advance(2)
    with pytest.raises(InvalidToken):
        await cache.user("token", CALLER)
    assert bus.count(VerifyUserToken) == 1


async def test_cached_user_expires_after_a_minute(cache, bus, clock):
    await cache.user("token", CALLER)
    clock.advance(59)
    await cache.user("token", CALLER)
    assert bus.count(VerifyUserToken) == 1
    clock.advance(2)
    await cache.user("token", CALLER)
    assert bus.count(VerifyUserToken) == 2


async def test_token_is_not_stored(cache, bus):
    await cache.user("secret", CALLER)
    (key,) = cache._users._values
    assert b"secret" not in key


# -- memberships, channels, plans ------------------------------------------------------------------


async def test_memberships_are_cached_per_tenant(cache, bus, clock):
    assert (await membership(cache, clock)).text == f"member of {TENANT}"
    assert (await membership(cache, clock, OTHER_TENANT)).text == f"member of {OTHER_TENANT}"
    assert (await membership(cache, clock, None)).text == "member of None"
    await membership(cache, clock)
    assert bus.count(ResolveMembership) == 3


async def test_refused_membership_is_not_cached(cache, bus, clock):
    bus.replies[ResolveMembership] = Forbidden()
    for _ in range(2):
        with pytest.raises(Forbidden):
            await membership(cache, clock)
    assert bus.count(ResolveMembership) == 2


async def test_changed_membership_is_looked_up_again(cache, bus, clock):
    for tenant_id in (TENANT, OTHER_TENANT, None):
        await membership(cache, clock, tenant_id)
    await bus.emit(MembershipChanged(tenant_id=TENANT, user_id="u", role=Role.VIEWER))
    for tenant_id in (TENANT, OTHER_TENANT, None):
        await membership(cache, clock, tenant_id)
    # That of the tenant, and which is the only one; not that of the other tenant.
    assert bus.count(ResolveMembership) == 5


async def test_membership_of_another_user_stays_cached(cache, bus, clock):
    await membership(cache, clock)
    await bus.emit(MembershipChanged(tenant_id=TENANT, user_id="other", role=None))
    await membership(cache, clock)
    assert bus.count(ResolveMembership) == 1


async def test_lookup_that_started_before_the_event_is_not_cached(cache, bus, clock):
    bus.hold(ResolveMembership)
    lookup = asyncio.create_task(membership(cache, clock))
    await asyncio.sleep(0.001)
    await bus.emit(MembershipChanged(tenant_id=TENANT, user_id="u", role=None))
    bus.release(ResolveMembership)
    await lookup
    bus.replies[ResolveMembership] = Forbidden()
    with pytest.raises(Forbidden):
        await membership(cache, clock)


async def test_channel_is_cached_until_it_changes(cache, bus):
    for _ in range(2):
        assert (await cache.channel(CHANNEL, CALLER)).text == CHANNEL
    assert bus.count(GetChannel) == 1
    await bus.emit(ChannelChanged(tenant_id=OTHER_TENANT, channel_id=CHANNEL, deleted=True))
    await cache.channel(CHANNEL, CALLER)
    assert bus.count(GetChannel) == 1
    await bus.emit(ChannelChanged(tenant_id=TENANT, channel_id=CHANNEL, deleted=True))
    bus.replies[GetChannel] = ChannelNotFound()
    with pytest.raises(ChannelNotFound):
        await cache.channel(CHANNEL, CALLER)


async def test_renamed_channel_is_looked_up_again_by_every_name(cache, bus):
    for text in (CHANNEL, "News"):
        await cache.channel(text, CALLER)
    version = cache.channels_version(TENANT)
    await bus.emit(ChannelChanged(tenant_id=TENANT, channel_id=CHANNEL, deleted=False))
    assert cache.channels_version(TENANT) != version
    assert cache.channels_version(OTHER_TENANT) == version
    bus.replies[GetChannel] = ChannelNotFound()
    with pytest.raises(ChannelNotFound):
        await cache.channel("News", CALLER)


async def test_missing_channel_is_remembered_shortly_and_found_once_it_is_created(cache, bus, clock):
    bus.replies[GetChannel] = ChannelNotFound()

    async def assert_missing():
        with pytest.raises(ChannelNotFound):
            await cache.channel("News", CALLER)

    for _ in range(3):
        await assert_missing()
    assert bus.count(GetChannel) == 1
    clock.advance(1.1)
    await assert_missing()
    assert bus.count(GetChannel) == 2
    bus.replies[GetChannel] = Result("news")
    await bus.emit(ChannelChanged(tenant_id=TENANT, channel_id=CHANNEL, deleted=False))
    assert (await cache.channel("News", CALLER)).text == "news"


async def test_channel_lookup_that_started_before_the_event_is_not_cached(cache, bus):
    bus.hold(GetChannel)
    lookup = asyncio.create_task(cache.channel("News", CALLER))
    await asyncio.sleep(0.001)
    await bus.emit(ChannelChanged(tenant_id=TENANT, channel_id=CHANNEL, deleted=True))
    bus.release(GetChannel)
    await lookup
    bus.replies[GetChannel] = ChannelNotFound()
    with pytest.raises(ChannelNotFound):
        await cache.channel("News", CALLER)


async def test_impossible_channel_is_not_looked_up(cache, bus):
    for text in ("", "x" * 129, "\ud83d"):
        with pytest.raises(ChannelNotFound):
            await cache.channel(text, CALLER)
    assert bus.count(GetChannel) == 0


async def test_version_of_channels_never_repeats(cache, bus):
    versions = []
    for number in range(5):
        await bus.emit(ChannelChanged(tenant_id=f"{TENANT}{number}", channel_id=CHANNEL, deleted=True))
        versions.append(cache.channels_version(f"{TENANT}{number}"))
    cache.clear()
    versions.append(cache.channels_version(TENANT))
    assert len(set(versions)) == len(versions)


async def test_channel_is_cached_for_its_tenant_only(cache, bus):
    await cache.channel(CHANNEL, CALLER)
    bus.replies[GetChannel] = ChannelNotFound()
    with pytest.raises(ChannelNotFound):
        await cache.channel(CHANNEL, CallerContext(request_id="r", tenant_id=OTHER_TENANT))


async def test_plan_is_looked_up_for_its_tenant_and_cached(cache, bus):
    for _ in range(2):
        assert await cache.plan(TENANT) is Plan.PRO
    assert [caller.tenant_id for caller in bus.callers] == [TENANT]


async def test_changed_plan_is_looked_up_again(cache, bus, clock):
    await cache.plan(TENANT)
    await cache.plan(OTHER_TENANT)
    await membership(cache, clock)
    await bus.emit(PlanChanged(tenant_id=TENANT, plan=Plan.BASIC))
    bus.replies[GetAccount] = Result("account", Plan.BASIC)
    assert await cache.plan(TENANT) is Plan.BASIC
    assert await cache.plan(OTHER_TENANT) is Plan.PRO
    # A membership contains the plan.
    await membership(cache, clock)
    assert bus.count(ResolveMembership) == 2


async def test_cleared_cache_looks_everything_up_again(cache, bus, clock):
    for _ in range(2):
        await cache.user("token", CALLER)
        await membership(cache, clock)
        await cache.channel(CHANNEL, CALLER)
        await cache.plan(TENANT)
        cache.clear()
    assert [bus.count(each) for each in (VerifyUserToken, ResolveMembership, GetChannel, GetAccount)] == [
        2
    ] * 4
