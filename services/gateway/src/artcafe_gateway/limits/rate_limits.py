"""How many REST calls a minute: of an organization as its plan says, of people and addresses otherwise."""

import hashlib
import ipaddress
from collections.abc import Mapping

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Scope

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.tenancy import Membership
from artcafe_common.plans import LIMITS
from artcafe_common.storage.rate_limiter import Allowance, Buckets, Verdict
from artcafe_gateway.bridges.token_bucket import RateLimited
from artcafe_gateway.http.request import Connection, client_ip
from artcafe_gateway.settings import Settings

_STATE = "artcafe_rate"
_IPV6_NETWORK = 64


class Limits:
    """One question to Redis for a call that is limited; with Redis away nobody is."""

    def __init__(self, buckets: Buckets, settings: Settings) -> None:
        self._buckets = buckets
        self._settings = settings

    async def member(self, connection: Connection, membership: Membership) -> None:
        """A call for an organization; RateLimited."""
        limit = LIMITS[membership.plan].api_calls_per_minute
        await self._take(connection, {f"tenant:{membership.tenant_id}": limit or 0})

    async def person(self, connection: Connection, user_id: str) -> None:
        """A call of somebody who acts for no organization; RateLimited."""
        await self._take(connection, {f"user:{user_id}": self._settings.person_calls_per_minute})

    async def stranger(self, connection: Connection) -> None:
        """A call of somebody unknown; RateLimited."""
        await self._take(connection, {f"ip:{_network(connection)}": self._settings.address_calls_per_minute})

    async def login(self, connection: Connection, email: str) -> None:
        """An attempt to log in, whether it succeeds or not; RateLimited."""
        # The address itself has no place in another store, nor has one of any length.
        whose = hashlib.sha256(email.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()
        await self._take(
            connection,
            {
                f"login:email:{whose}": self._settings.email_logins_per_minute,
                f"login:ip:{_network(connection)}": self._settings.address_logins_per_minute,
            },
        )

    async def _take(self, connection: Connection, limits: Mapping[str, int]) -> None:
        wanted = {name: Allowance(limit=limit) for name, limit in limits.items() if limit}
        if not wanted:
            return
        try:
            verdict = await self._buckets.take(wanted)
        except StoreUnavailable:
            return
        connection.scope["state"][_STATE] = verdict
        if not verdict.allowed:
            raise RateLimited("too many calls in a minute", retry_after_s=verdict.retry_after_s)


def tell(scope: Scope, headers: MutableScopeHeaders) -> None:
    """Say in an answer's headers what is left, where there is a limit (draft-ietf-httpapi-ratelimit-headers-03)."""
    verdict: Verdict | None = scope["state"].get(_STATE)
    if verdict is not None:
        headers["RateLimit-Limit"] = str(verdict.limit)
        headers["RateLimit-Remaining"] = str(verdict.remaining)
        headers["RateLimit-Reset"] = str(verdict.reset_s)


def _network(connection: Connection) -> str:
    """The peer's address; of IPv6 the network that one customer has."""
    ip = client_ip(connection)
    if ":" not in ip:
        return ip
    return str(ipaddress.IPv6Network((ip, _IPV6_NETWORK), strict=False))
