"""The calls of one account that wait: limited in rate, for the account and each client, and fair between clients."""

import time
from collections import OrderedDict, deque
from typing import Generic, TypeVar

from artcafe_common.token_bucket import TokenBucket

CALLS_PER_SECOND = 100.0
CLIENT_CALLS_PER_SECOND = 50.0
MAX_CLIENTS = 256
T = TypeVar("T")


class CallQueue(Generic[T]):
    """Calls in the order in which they may be made: those of each client as they came, clients in turn.

    It has no limit of its own: its owner adds no more than a bounded number.
    """

    def __init__(self) -> None:
        self._bucket = TokenBucket(CALLS_PER_SECOND)
        self._clients: OrderedDict[str, TokenBucket] = OrderedDict()
        self._waiting: OrderedDict[str, deque[tuple[int, T]]] = OrderedDict()
        self._paid: tuple[int, T] | None = None
        self.used_at = time.monotonic()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values())) + (self._paid is not None)

    def add(self, client: str, call: T, cost: int) -> None:
        """Add a call, which counts as `cost` calls of the rate."""
        self._waiting.setdefault(client, deque()).append((cost, call))

    def take(self) -> T | None:
        """Remove the next call; None while the rate allows none."""
        self.used_at = time.monotonic()
        # A call that its client's rate allows waits for the account's.
        self._paid = self._paid or self._next()
        if self._paid is None or not self._bucket.try_consume(self._paid[0]):
            return None
        (_, call), self._paid = self._paid, None
        return call

    def _next(self) -> tuple[int, T] | None:
        for client, calls in tuple(self._waiting.items()):
            if self._client_bucket(client).try_consume(calls[0][0]):
                entry = calls.popleft()
                del self._waiting[client]
                if calls:
                    # Its next call comes after those of the others.
                    self._waiting[client] = calls
                return entry
        return None

    def _client_bucket(self, client: str) -> TokenBucket:
        bucket = self._clients.get(client)
        if bucket is None:
            bucket = self._clients[client] = TokenBucket(CLIENT_CALLS_PER_SECOND)
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)
        self._clients.move_to_end(client)
        return bucket
