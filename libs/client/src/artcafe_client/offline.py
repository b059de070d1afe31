"""The bounded buffer of publishes that wait for a connection."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from artcafe_client.errors import OfflineBufferFull

# Since a message was sent first; a channel's stream knows its id for 120 s.
REPEAT_WITHIN_S = 110.0


class Offline(msgspec.Struct, frozen=True, kw_only=True):
    """What `publish` does without a connection.

    By default it raises `NotConnected`. With `messages` above 0, that many publishes wait for the next connection, as long
    as their data does not exceed `bytes`; one that was sent and not acknowledged is published again. On a channel it is
    stored once all the same, because it keeps its `message_id`; on a plain subject it can arrive twice. A channel knows
    ids for two minutes: after a longer time without a connection, publishing again raises `PublishUncertain` instead.
    """

    messages: int = 0
    bytes: int = 16 * 1024 * 1024


class OfflineBuffer:
    """Counts what waits."""

    def __init__(self, limits: Offline) -> None:
        self._limits = limits
        self._messages = self._bytes = 0

    @property
    def is_enabled(self) -> bool:
        """Whether publishes wait for a connection."""
        return self._limits.messages > 0

    @property
    def waiting(self) -> int:
        """How many publishes wait for a connection or an acknowledgement."""
        return self._messages

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """A place for one publish. OfflineBufferFull."""
        if self._messages >= self._limits.messages or self._bytes + size > self._limits.bytes:
            raise OfflineBufferFull(f"{self._messages} messages wait for a connection already")
        self._messages += 1
        self._bytes += size
        try:
            yield
        finally:
            self._messages -= 1
            self._bytes -= size
