"""Rate limits on issued keys and challenges, shared by all instances through Redis."""

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.identity.agents import ChallengeRateExceeded
from artcafe_common.contracts.identity.clients import KeyRateExceeded
from artcafe_common.storage.rate_limiter import RateLimit, RateLimiter
from artcafe_common.storage.redis_client import RedisClient
from artcafe_identity.settings import Settings

HOUR_S = 3600


class IssuanceLimits:
    """Limits the keys of an organization and the challenges of an agent and IP address."""

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._limiter = RateLimiter(redis)
        self._keys = RateLimit(limit=settings.keys_per_hour, period_s=HOUR_S)
        self._challenges = RateLimit(limit=settings.challenges_per_minute)

    async def acquire_key(self, tenant_id: str) -> None:
        """Count a new key. Raises KeyRateExceeded, or StoreUnavailable when Redis cannot count it."""
        verdict = await self._limiter.acquire({f"keys:{tenant_id}": self._keys}, wait_for_recovery=True)
        if not verdict.allowed:
            raise KeyRateExceeded(retry_after_s=verdict.retry_after_s)

    async def remove(self, tenant_id: str) -> None:
        """Forget the keys of an organization that is deleted."""
        await self._limiter.remove(f"keys:{tenant_id}")

    async def acquire_challenge(self, agent_id: str, ip: str) -> None:
        """Count a new challenge. Raises ChallengeRateExceeded; without Redis there is no limit."""
        try:
            verdict = await self._limiter.acquire({f"challenges:{ip}:{agent_id}": self._challenges})
        except StoreUnavailable:
            return
        if not verdict.allowed:
            raise ChallengeRateExceeded(retry_after_s=verdict.retry_after_s)
