"""Limits the WebSockets of one network address that have not authenticated, which cost memory and a place each."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from artcafe_common.bus.errors import CommandError
from artcafe_gateway.limits.rate_limits import network_of

RETRY_AFTER_S = 2


class TooManySockets(CommandError):
    """As many WebSockets as one network address may have are still authenticating."""

    status = 429
    code = "too_many_sockets"
    title = "Too many connections from this address have not authenticated"
    remedy = "Authenticate open connections first; connect again after `Retry-After`, with exponential back-off and jitter."


class UnauthenticatedSockets:
    """Counts the unauthenticated WebSockets of this gateway process by address; an IPv6 /64 network is one address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    @contextmanager
    def admit(self, ip: str) -> Iterator[None]:
        """Count a WebSocket for the context, while it authenticates; TooManySockets. A limit of 0 is none."""
        address = network_of(ip)
        if self._limit and self._counts[address] >= self._limit:
            raise TooManySockets(retry_after_s=RETRY_AFTER_S)
        self._counts[address] += 1
        try:
            yield
        finally:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    @property
    def count(self) -> int:
        """The number of WebSockets that are authenticating."""
        return self._counts.total()
