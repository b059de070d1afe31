"""Rate limits as token buckets in Redis, shared by all instances of a service."""

import math
from collections.abc import Mapping
from importlib.resources import files

import msgspec

from artcafe_common.storage.redis_client import RedisClient


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """`limit` calls per `period_s` seconds; the bucket holds `limit` tokens and refills evenly."""

    limit: int
    period_s: int = 60


class RateLimitResult(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the tightest bucket after a call; times in seconds, rounded up."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int


class RateLimiter:
    """Token buckets by name; a full bucket is not stored."""

    def __init__(self, redis: RedisClient) -> None:
        script = files("artcafe_common.storage") / "lua" / "acquire_tokens.lua"
        self._redis = redis
        self._acquire = redis.script(script.read_text())

    async def acquire(
        self, limits: Mapping[str, RateLimit], *, wait_for_recovery: bool = False
    ) -> RateLimitResult:
        """Take one token from every bucket, or from none; returns the tightest result. Raises StoreUnavailable."""
        args = [number for limit in limits.values() for number in (limit.limit, limit.period_s * 1000)]
        keys = [f"rate:{name}" for name in limits]
        rows = await self._acquire.run(keys, args, wait_for_recovery=wait_for_recovery)
        results = [
            RateLimitResult(
                allowed=bool(allowed),
                limit=limit.limit,
                remaining=remaining,
                reset_s=math.ceil(reset_ms / 1000),
                retry_after_s=max(1, math.ceil(retry_ms / 1000)),
            )
            for limit, (allowed, remaining, reset_ms, retry_ms) in zip(limits.values(), rows, strict=True)
        ]
        return min(results, key=lambda result: (result.allowed, -result.retry_after_s, result.remaining))

    async def remove(self, name: str) -> None:
        """Remove a bucket, which then is full. Raises StoreUnavailable."""
        await self._redis.unlink(f"rate:{name}")
