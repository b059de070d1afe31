"""The open bridges of this process, by tenant."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.concurrency import run_together
from artcafe_common.key_ring import KeyRing
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.bridges.connector import CONNECT_TIMEOUT_S
from artcafe_gateway.delivery.client_keys import ClientKeys
from artcafe_gateway.settings import Settings


class BridgePool:
    """Opens a tenant's bridge for its first user, and closes it some time after the last.

    `before_use` runs while a bridge connects, and `acquire` waits for it; `before_close` runs before
    a bridge disconnects.
    """

    LINGER_S = 30.0

    def __init__(
        self,
        *,
        bus: Bus,
        settings: Settings,
        signing_keys: KeyRing,
        client_keys: ClientKeys | None = None,
    ) -> None:
        self._create_bridge: Callable[[str], Bridge] = lambda tenant_id: Bridge(
            tenant_id=tenant_id,
            bus=bus,
            settings=settings,
            signing_keys=signing_keys,
            client_keys=client_keys,
        )
        self._bridges: dict[str, asyncio.Task[Bridge]] = {}
        self.before_use: Callable[[Bridge], Coroutine[Any, Any, None]] | None = None
        self.before_close: Callable[[Bridge], Coroutine[Any, Any, None]] | None = None

    async def acquire(self, tenant_id: str) -> Bridge:
        """Returns the tenant's bridge, opened if necessary; call `release` after use. CommandError."""
        task = self._bridges.get(tenant_id)
        if task is None:
            task = self._bridges[tenant_id] = asyncio.create_task(self._open(tenant_id))
            task.add_done_callback(partial(self._forget_failed, tenant_id))
        bridge = await asyncio.shield(task)
        bridge.reference_count += 1
        return bridge

    def _forget_failed(self, tenant_id: str, task: asyncio.Task[Bridge]) -> None:
        # Whatever the reason was: the next user opens another.
        if (task.cancelled() or task.exception() is not None) and self._bridges.get(tenant_id) is task:
            del self._bridges[tenant_id]

    def release(self, bridge: Bridge) -> None:
        """Releases a bridge; an unused bridge stays open for `LINGER_S`."""
        bridge.reference_count -= 1
        bridge.idle_since = time.monotonic()

    async def _open(self, tenant_id: str) -> Bridge:
        bridge = self._create_bridge(tenant_id)
        try:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
                if self.before_use is None:
                    await bridge.open()
                else:
                    await run_together(bridge.open(), self.before_use(bridge))
        except BaseException as error:
            # An unreferenced bridge must not keep reconnecting.
            await bridge.close()
            if isinstance(error, TimeoutError):
                raise ServiceUnavailable("the tenant's connection could not be opened") from error
            raise
        return bridge

    @property
    def open_bridges(self) -> list[Bridge]:
        """The bridges that have been opened and not closed."""
        return [
            task.result()
            for task in self._bridges.values()
            if task.done() and not task.cancelled() and task.exception() is None
        ]

    @property
    def open_connections(self) -> list[BridgeConnection]:
        """The connections of the open bridges."""
        return [connection for bridge in self.open_bridges for connection in bridge.open_connections]

    async def close_idle(self) -> None:
        """Closes the bridges that were unused for `LINGER_S`."""
        for bridge in self.open_bridges:
            if bridge.reference_count == 0 and time.monotonic() - bridge.idle_since > self.LINGER_S:
                await self._close(bridge)

    async def close(self) -> None:
        """Closes all bridges."""
        for bridge in self.open_bridges:
            await self._close(bridge)

    async def _close(self, bridge: Bridge) -> None:
        self._bridges.pop(bridge.tenant_id, None)
        if self.before_close is not None:
            await self.before_close(bridge)
        await bridge.close()
