"""Applies rate limits to requests: 429 with `Retry-After`, and headers that show the limit.

Of draft-ietf-httpapi-ratelimit-headers, responses have the fields of the current version (`RateLimit`,
`RateLimit-Policy`) and those of version 03 (`RateLimit-Limit`, `-Remaining`, `-Reset`).
"""

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Scope

from artcafe_common.storage.rate_limiter import RateLimitResult
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.request import HttpConnection, client_ip

_STATE = "artcafe_rate_limit"
# The name of the only policy, and its window in seconds.
_POLICY, _WINDOW_S = '"minute"', 60


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
    """Set the headers of the limit that applied, if any."""
    result: RateLimitResult | None = scope["state"].get(_STATE)
    if result is not None:
        headers["RateLimit-Limit"] = str(result.limit)
        headers["RateLimit-Remaining"] = str(result.remaining)
        # The draft asks that both name the same moment.
        reset_s = headers.get("retry-after", str(result.reset_s))
        headers["RateLimit-Reset"] = reset_s
        headers["RateLimit-Policy"] = f"{_POLICY};q={result.limit};w={_WINDOW_S}"
        headers["RateLimit"] = f"{_POLICY};r={result.remaining};t={reset_s}"
