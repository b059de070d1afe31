"""How many connections an organization has at once, asked for each WebSocket that its plan limits."""

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import ReserveConnection
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.plans import LIMITS
from artcafe_gateway.lookup_cache import LookupCache, caller_for_tenant

log = structlog.get_logger()


class ConnectionLimit:
    """Places for WebSockets; presence counts them with those that are open, wherever they are."""

    def __init__(self, bus: Bus, directory: LookupCache) -> None:
        self._bus = bus
        self._lookup_cache = directory

    async def reserve(self, tenant_id: str, connection_id: str) -> None:
        """Take a place for a connection that is about to open; PlanLimitReached when there is none.

        With nobody there to count, it is let in.
        """
        try:
            limit = LIMITS[await self._lookup_cache.plan(tenant_id)].connections
            if limit is None:
                return
            place = await self._bus.call(
                ReserveConnection(connection_id=connection_id, limit=limit),
                caller=caller_for_tenant(tenant_id),
                wait_for_recovery=False,
            )
        except CommandError as error:
            log.warning("connection_not_counted", reason=error.detail)
            return
        if not place.granted:
            raise PlanLimitReached("the plan allows no more connections at once")
