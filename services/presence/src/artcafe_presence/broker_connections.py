"""Reconciles the direct NATS connections of the live state with the broker's connection lists."""

import asyncio
from enum import StrEnum

import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import list_connections, nats_connection_id
from artcafe_presence.connection_owners import ConnectionOpener

log = structlog.get_logger()


class ReconcileState(StrEnum):
    """What the comparison with the broker is doing."""

    STARTING = "starting"
    IDLE = "idle"
    WAITING = "waiting"
    RECONCILING = "reconciling"


TRANSITIONS = {
    ReconcileState.STARTING: {ReconcileState.IDLE},
    ReconcileState.IDLE: {ReconcileState.WAITING, ReconcileState.RECONCILING},
    ReconcileState.WAITING: {ReconcileState.RECONCILING},
    ReconcileState.RECONCILING: {ReconcileState.IDLE},
}


class BrokerConnectionMonitor:
    """Keeps the NATS connections of the live state equal to the broker's.

    Events report changes at once; reconciliation finds the changes whose events were missed (`TRANSITIONS`): in
    WAITING, clients have `grace_s` to reconnect, and IDLE ends after `interval_s` at the latest.

    Reconciliation is requested at the start, after a reconnect, a missed event, a shutdown of the broker, a report
    from an unknown server, and a restore of the live state. A request during WAITING is served by the reconciliation
    that follows, and one during RECONCILING by the next, so requests that do not end postpone none.
    """

    def __init__(
        self,
        system: Nats,
        opener: ConnectionOpener,
        *,
        grace_s: float,
        interval_s: float,
    ) -> None:
        self._system = system
        self._opener = opener
        self._store = opener.store
        self._requests = opener.requests
        self._grace_s = grace_s
        self._interval_s = interval_s
        self.state = ReconcileState.STARTING

    async def reconcile_when_due(self) -> None:
        """Wait until reconciliation is requested or the interval has passed, then reconcile.

        A request is delayed by the grace period, in which clients can reconnect.
        """
        if self.state is ReconcileState.STARTING:
            await self.open_listed()
            self._requests.request()
            self._enter(ReconcileState.IDLE)
        if await self._requests.take(self._interval_s):
            self._enter(ReconcileState.WAITING)
            await asyncio.sleep(self._grace_s)
        self._enter(ReconcileState.RECONCILING)
        try:
            await self.reconcile()
        except BaseException:
            self._requests.request()
            raise
        finally:
            self._enter(ReconcileState.IDLE)
        while await self._store.renew_ttls():
            pass

    def _enter(self, state: ReconcileState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"{self.state} is not followed by {state}")
        self.state = state

    async def open_listed(self) -> dict[str, set[str]]:
        """Open every client connection that the broker lists; returns the ids of all that it lists, by server id."""
        listings = await list_connections(self._system)
        for listing in listings:
            await self._store.record_server_id(listing.server.name, listing.server.id)
        listed = [(each.server, connection) for each in listings for connection in each.connections]
        # Those whose owner is unknown are opened by the next reconciliation; nothing of theirs is closed.
        await self._opener.open(listed)
        ids: dict[str, set[str]] = {listing.server.id: set() for listing in listings}
        for server, connection in listed:
            ids[server.id].add(nats_connection_id(server.id, connection.cid))
        return ids

    async def reconcile(self) -> None:
        """Open the connections that the broker lists, and close those that it no longer lists.

        Nothing is closed when clients had to reconnect meanwhile: the list lacks those that have not yet.
        """
        before = self._disturbances
        began_at = await self._store.clock_ms()
        missing = await self._find_unlisted()
        if missing:
            # A list of several pages or servers can have gaps, so only twice missing counts.
            missing &= await self._find_unlisted()
        if not missing:
            return
        if not self._system.is_connected or self._disturbances != before:
            self._requests.request()
            return
        await self._store.close_unlisted(began_at, sorted(missing))
        log.info("connections_vanished", count=len(missing))

    @property
    def _disturbances(self) -> tuple[int, int]:
        return self._requests.disturbances, self._system.stats["reconnects"]

    async def _find_unlisted(self) -> set[str]:
        listed = await self.open_listed()
        missing: set[str] = set()
        for server_id, stored in (await self._store.nats_connection_ids()).items():
            missing |= stored - listed.get(server_id, set())
            if not stored and server_id not in listed:
                await self._store.remove_server(server_id)
        return missing
