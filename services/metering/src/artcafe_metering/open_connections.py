"""Which open connections to count now: those of accounts in which something moved.

A server takes a tenth of a millisecond to list a connection, and for each list of all connections it reads all of them.
It also has totals by account, so that only accounts are listed whose totals or number of connections changed.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import (
    AccountTotals,
    list_account_connections,
    list_connections,
    read_account_totals,
)
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.concurrency import run_bounded
from artcafe_metering.connections import ConnectionSnapshot

# As long as there are no more connections, all are listed each time.
MAX_LISTED_ALWAYS = 100
# Of the accounts that did not move, so many are listed each time, in turn, to find what was missed.
LISTED_IN_TURN = 10
MAX_CONCURRENT_LISTS = 16
TOTALS_RETRY_S = 60.0
log = structlog.get_logger()

# An account on one server.
_Place = tuple[str, str]
_Snapshots = dict[str, ConnectionSnapshot]


class OpenConnections:
    """The connections in tenants' accounts as they were listed last, by key.

    `is_counted` tells which connections' traffic is counted from the broker; an account that has no others is not
    listed for its traffic, which its gateways report.
    """

    def __init__(self, system: Nats, *, is_counted: Callable[[str], bool]) -> None:
        self._system = system
        self._is_counted = is_counted
        self._known: dict[_Place, _Snapshots] = {}
        self._totals: dict[_Place, AccountTotals] = {}
        self._keys: dict[str, _Place] = {}
        # When totals are asked for again after there were none, in `time.monotonic()`.
        self._totals_at = 0.0

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[ConnectionSnapshot]:
        for snapshots in self._known.values():
            yield from snapshots.values()

    def get(self, key: str) -> ConnectionSnapshot | None:
        """The connection as it was listed last; None unless it is open."""
        place = self._keys.get(key)
        return None if place is None else self._known[place][key]

    def remove(self, snapshot: ConnectionSnapshot) -> None:
        """A connection has ended."""
        if place := self._keys.pop(snapshot.key, None):
            del self._known[place][snapshot.key]

    async def read(self) -> list[ConnectionSnapshot]:
        """The connections that may have moved since the last call, as they are now. Raises ServiceUnavailable."""
        if time.monotonic() < self._totals_at:
            return await self._list_all()
        try:
            totals = await self._read_totals()
        except ServiceUnavailable:
            listed = await self._list_all()
            # The servers reply now: they have just started, or these credentials are of an earlier release.
            self._totals_at = time.monotonic() + TOTALS_RETRY_S
            log.warning("account_totals_unavailable", remedy="artcafe bootstrap --renew")
            return listed
        for place in self._known.keys() - totals.keys():
            self._replace(place, ())
        if sum(now.conns for now in totals.values()) <= MAX_LISTED_ALWAYS:
            listed = await self._list_all()
        else:
            moved = [place for place, now in totals.items() if self._has_moved(place, now)]
            # Those that were listed longest ago come first.
            in_turn = [place for place in islice(self._known, LISTED_IN_TURN) if place in totals]
            listed = await self._list_accounts(dict.fromkeys([*moved, *in_turn]))
        self._totals = totals
        return listed

    async def _read_totals(self) -> dict[_Place, AccountTotals]:
        return {
            (server, account.acc): account
            for server, accounts in (await read_account_totals(self._system)).items()
            for account in accounts
            if ULID_PATTERN.match(account.name)
        }

    def _has_moved(self, place: _Place, now: AccountTotals) -> bool:
        known = self._known.get(place, {})
        if now.conns != len(known):
            return True
        before = self._totals.get(place)
        if before is not None and before.received == now.received and before.sent == now.sent:
            return False
        return any(self._is_counted(key) for key in known)

    async def _list_accounts(self, places: Iterable[_Place]) -> list[ConnectionSnapshot]:
        async def list_one(place: _Place) -> list[ConnectionSnapshot]:
            server, account = place
            connections = await list_account_connections(self._system, server, account)
            snapshots = [ConnectionSnapshot.from_listing(server, each) for each in connections]
            self._replace(place, snapshots)
            return snapshots

        lists = await run_bounded([partial(list_one, place) for place in places], limit=MAX_CONCURRENT_LISTS)
        return [snapshot for snapshots in lists for snapshot in snapshots]

    async def _list_all(self) -> list[ConnectionSnapshot]:
        by_place: dict[_Place, list[ConnectionSnapshot]] = {place: [] for place in self._known}
        for listing in await list_connections(self._system):
            for connection in listing.connections:
                snapshot = ConnectionSnapshot.from_listing(listing.server.id, connection)
                if snapshot.in_tenant_account:
                    by_place.setdefault((snapshot.server, snapshot.account), []).append(snapshot)
        for place, snapshots in by_place.items():
            self._replace(place, snapshots)
        return [snapshot for snapshots in by_place.values() for snapshot in snapshots]

    def _replace(self, place: _Place, snapshots: Iterable[ConnectionSnapshot]) -> None:
        for key in self._known.pop(place, ()):
            del self._keys[key]
        if now := {each.key: each for each in snapshots}:
            self._known[place] = now
            self._keys.update(dict.fromkeys(now, place))
