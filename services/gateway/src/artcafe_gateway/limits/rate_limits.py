"""Rate limits on REST calls, per minute: by plan for organizations, by setting for users and addresses."""

import hashlib
import ipaddress
from collections.abc import Mapping

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.storage.rate_limiter import RateLimit, RateLimiter, RateLimitResult
from artcafe_gateway.settings import Settings

_IPV6_PREFIX = 64


class RateLimits:
    """Checks a call against its limits with one Redis round trip.

    Each method counts one call and returns the result, or None where no limit applies. Without
    Redis no call is limited.
    """

    def __init__(self, limiter: RateLimiter, settings: Settings) -> None:
        self._limiter = limiter
        self._settings = settings

    async def check_tenant(self, tenant_id: str, plan: Plan) -> RateLimitResult | None:
        """Count a call on behalf of an organization."""
        return await self._acquire({f"tenant:{tenant_id}": LIMITS[plan].api_calls_per_minute or 0})

    async def remove_tenant(self, tenant_id: str) -> None:
        """Forget the calls on behalf of an organization that is deleted. Raises StoreUnavailable."""
        await self._limiter.remove(f"tenant:{tenant_id}")

    async def check_user(self, user_id: str) -> RateLimitResult | None:
        """Count a call of a user that names no organization."""
        return await self._acquire({f"user:{user_id}": self._settings.user_calls_per_minute})

    async def check_address(self, ip: str) -> RateLimitResult | None:
        """Count a call without credentials."""
        return await self._acquire({f"ip:{network_of(ip)}": self._settings.address_calls_per_minute})

    async def check_login(self, ip: str, email: str) -> RateLimitResult | None:
        """Count a login attempt, successful or not."""
        # Hashed: the e-mail address must not reach another store, and the key has a fixed length.
        digest = hashlib.sha256(email.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()
        return await self._acquire(
            {
                f"login:email:{digest}": self._settings.email_logins_per_minute,
                f"login:ip:{network_of(ip)}": self._settings.address_logins_per_minute,
            }
        )

    async def _acquire(self, limits: Mapping[str, int]) -> RateLimitResult | None:
        wanted = {name: RateLimit(limit=limit) for name, limit in limits.items() if limit}
        if not wanted:
            return None
        try:
            return await self._limiter.acquire(wanted)
        except StoreUnavailable:
            return None


def network_of(ip: str) -> str:
    """The address itself, or the /64 network of an IPv6 address (what one customer is assigned)."""
    if ":" not in ip:
        return ip
    return str(ipaddress.IPv6Network((ip, _IPV6_PREFIX), strict=False))
