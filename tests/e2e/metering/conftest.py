"""A stack with two gateway workers and low limits."""

import pytest
from redis.asyncio import Redis

from support.actors import User


@pytest.fixture(scope="module")
async def limited_stack(new_stack):
    """Two gateway workers, with login limits as in production."""
    settings = {
        "ARTCAFE_GATEWAY_WORKERS": "2",
        "ARTCAFE_EMAIL_LOGINS_PER_MINUTE": "5",
        "ARTCAFE_ADDRESS_LOGINS_PER_MINUTE": "40",
        "ARTCAFE_ADDRESS_CALLS_PER_MINUTE": "20",
        "ARTCAFE_PERSON_CALLS_PER_MINUTE": "30",
        "ARTCAFE_KEYS_PER_HOUR": "12",
    }
    async with new_stack(settings) as stack:
        yield stack


@pytest.fixture
async def org(limited_stack):
    # All tests use one IP address; its login limit starts anew for each test.
    async with Redis.from_url(limited_stack.endpoints["redis"]) as redis:
        async for name in redis.scan_iter("rate:login:ip:*"):
            await redis.delete(name)
    return await (await User.sign_up(limited_stack)).create_organization()
