"""Notices the loss of a nats-server of a cluster: nobody reports that its clients' connections have ended."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import list_servers
from artcafe_presence.store import Store

# A server is lost when this many checks in a row had no reply of it.
MISSING_CHECKS = 2
# Its clients have this time to connect to another one, before those that do not are offline.
GRACE_S = 2.0
# A single server that restarts has a new id; the earlier one is no majority's to close, and reconciliation does.
FORGET_AFTER_CHECKS = 60
log = structlog.get_logger()


class ServerWatch:
    """Closes the connections of servers that do not reply any more.

        unknown --replies--> present --no reply--> missing --MISSING_CHECKS, in a majority--> lost --GRACE_S--> closed
                               ^---------replies-------'          (`on_return` when it replies again)

    A part of the cluster without a majority says nothing about the others: they may be there without it.
    """

    def __init__(
        self,
        system: Nats,
        store: Store,
        *,
        on_return: Callable[[], object],
        servers: Callable[[Nats], Awaitable[set[str]]] = list_servers,
    ) -> None:
        self._system = system
        self._store = store
        self._on_return = on_return
        self._list_servers = servers
        self._missing: dict[str, int] = {}
        self._lost: set[str] = set()

    async def check(self) -> None:
        """Compare the servers that reply with those that did. Raises ServiceUnavailable."""
        replying = await self._list_servers(self._system)
        if self._lost & replying:
            # The link between two parts of the cluster was broken, and its clients are still there.
            self._lost -= replying
            self._on_return()
        known = {*self._missing, *replying}
        self._missing = {server: 0 if server in replying else self._missing[server] + 1 for server in known}
        for server in [each for each, checks in self._missing.items() if checks > FORGET_AFTER_CHECKS]:
            del self._missing[server]
        lost = {server for server, checks in self._missing.items() if checks >= MISSING_CHECKS}
        if not lost or 2 * len(replying) <= len(known):
            return
        for server in lost:
            del self._missing[server]
        self._lost |= lost
        listed_at = await self._store.clock_ms()
        await asyncio.sleep(GRACE_S)
        stored = await self._store.nats_connection_ids()
        for server in lost:
            connections = sorted(stored.get(server, ()))
            log.warning("broker_server_lost", broker=server, connections=len(connections))
            await self._store.close_unlisted(listed_at, connections)
