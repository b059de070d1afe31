"""Notices servers of a cluster that do not answer, without a frequent PING on each bridge's connection."""

import asyncio
from collections.abc import Callable, Iterable

from artcafe_gateway.bridges.connection import BridgeConnection

ANSWER_WITHIN_S = 1.5


class ServerWatch:
    """Sends each server one PING a call, and ends the connections to a server that does not answer.

    Their bridges reconnect to another server; if `nats_url` names a single one, they wait for it, and nothing is
    checked. `list_connections` returns those that are open.
    """

    def __init__(self, nats_url: str, list_connections: Callable[[], Iterable[BridgeConnection]]) -> None:
        self._several = "," in nats_url
        self._list_connections = list_connections

    async def check(self) -> None:
        """Checks each server that a bridge is connected to."""
        if not self._several:
            return
        by_server: dict[str, list[BridgeConnection]] = {}
        for connection in self._list_connections():
            if connection.is_connected:
                by_server.setdefault(connection.server_id, []).append(connection)
        async with asyncio.TaskGroup() as tasks:
            for connections in by_server.values():
                tasks.create_task(self._check_server(connections))

    async def _check_server(self, connections: list[BridgeConnection]) -> None:
        if await connections[0].end_unless_answered(ANSWER_WITHIN_S):
            return
        async with asyncio.TaskGroup() as tasks:
            for connection in connections[1:]:
                tasks.create_task(connection.end_unless_answered(ANSWER_WITHIN_S))
