"""Applies rate limits to requests: 429 with `Retry-After`, and the `RateLimit-*` headers."""

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Scope

from artcafe_common.storage.rate_limiter import RateLimitResult
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.request import HttpConnection, client_ip

_STATE = "artcafe_rate_limit"


def enforce(connection: HttpConnection, result: RateLimitResult | None) -> None:
    """Record a rate limit result for the response headers; RateLimited when the call exceeds the limit."""
    if result is None:
        return
    connection.scope["state"][_STATE] = result
    if not result.allowed:
        raise RateLimited("too many calls in a minute", retry_after_s=result.retry_after_s)


async def limit_address(connection: HttpConnection, gateway: Gateway) -> None:
    """Count a call without credentials; RateLimited."""
    enforce(connection, await gateway.rate_limits.check_address(client_ip(connection)))


async def limit_login(connection: HttpConnection, gateway: Gateway, email: str) -> None:
    """Count a login attempt; RateLimited."""
    enforce(connection, await gateway.rate_limits.check_login(client_ip(connection), email))


def add_rate_limit_headers(scope: Scope, headers: MutableScopeHeaders) -> None:
    """Set the `RateLimit-*` headers if a limit applied (draft-ietf-httpapi-ratelimit-headers-03)."""
    result: RateLimitResult | None = scope["state"].get(_STATE)
    if result is not None:
        headers["RateLimit-Limit"] = str(result.limit)
        headers["RateLimit-Remaining"] = str(result.remaining)
        # The draft asks that both name the same moment.
        headers["RateLimit-Reset"] = headers.get("retry-after", str(result.reset_s))
