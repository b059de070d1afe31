"""Ends connections that flood the broker's JetStream API.

The broker handles the calls of all accounts one after another, and has no limit for each. An organization's own rate is
compared only while its connections send many messages, so that quiet ones cost nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import count_api_calls, kick
from artcafe_metering.connections import ConnectionSnapshot
from artcafe_metering.owners import ConnectionOwner

# A connection that sends fewer messages in a second is not the cause of a flood.
MIN_MESSAGES_PER_S = 100
MAX_API_CALLS_PER_S = 200
# The first look at an account has nothing to compare with; one that old says nothing about now.
MAX_BASELINE_AGE_S = 5.0
log = structlog.get_logger()


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    count: int
    at: float

    def rate(self, count: int, at: float) -> float:
        """Counts a second since this reading."""
        return (count - self.count) / max(at - self.at, 0.001)


class ApiFloodMonitor:
    """Ends the busy connections of an account whose API calls exceed the rate."""

    def __init__(self, system: Nats) -> None:
        self._system = system
        self._messages: dict[str, int] = {}
        self._observed_at = 0.0
        self._api_calls: dict[str, _Reading] = {}
        self._busy: dict[str, list[ConnectionSnapshot]] = {}

    def observe(self, moved: Sequence[ConnectionSnapshot], is_open: Callable[[str], bool]) -> None:
        """Note which of the connections sent many messages since the last call; `moved` are those that sent any.

        `is_open` tells by the key whether a connection is still open.
        """
        at = time.monotonic()
        self._busy = {}
        for each in moved:
            before = self._messages.get(each.key)
            since = at - 1 if before is None else self._observed_at
            if _Reading(count=before or 0, at=since).rate(each.totals.in_msgs, at) >= MIN_MESSAGES_PER_S:
                self._busy.setdefault(each.account, []).append(each)
            self._messages[each.key] = each.totals.in_msgs
        for key in [key for key in self._messages if not is_open(key)]:
            del self._messages[key]
        self._observed_at = at

    async def check(self, owners: Mapping[str, ConnectionOwner | None]) -> None:
        """End the busy connections of flooding accounts; `owners` by connection key. Raises ServiceUnavailable.

        The platform's own connections, and those whose owner is not known yet, stay.
        """
        self._api_calls = {key: each for key, each in self._api_calls.items() if key in self._busy}
        for account, connections in self._busy.items():
            calls, at = await count_api_calls(self._system, account), time.monotonic()
            before = self._api_calls.get(account)
            self._api_calls[account] = _Reading(count=calls, at=at)
            if before is None or at - before.at > MAX_BASELINE_AGE_S:
                continue
            rate = before.rate(calls, at)
            if rate <= MAX_API_CALLS_PER_S:
                continue
            ended = [each for each in connections if (owner := owners.get(each.key)) and not owner.bridge]
            for each in ended:
                await kick(self._system, each.server, each.cid)
            log.warning(
                "api_flood_ended",
                tenant_id=connections[0].tenant_id,
                calls_per_second=int(rate),
                connections=len(ended),
            )
