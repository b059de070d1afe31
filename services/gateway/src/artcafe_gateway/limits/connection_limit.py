"""Enforces the plan's limit of concurrent connections."""

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import ReserveConnection
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_common.plans import LIMITS
from artcafe_gateway.lookup_cache import LookupCache, caller_for_tenant

log = structlog.get_logger()


class ConnectionLimit:
    """Reserves connections with presence, which counts the connections of all gateways and the broker."""

    def __init__(self, bus: Bus, lookup_cache: LookupCache) -> None:
        self._bus = bus
        self._lookup_cache = lookup_cache

    async def reserve(self, tenant_id: str, connection_id: str) -> None:
        """Reserve a connection before it opens; PlanLimitReached when the plan allows no more.

        The connection is allowed when presence or tenancy does not answer.
        """
        try:
            limit = LIMITS[await self._lookup_cache.plan(tenant_id)].connections
            if limit is None:
                return
            reservation = await self._bus.call(
                ReserveConnection(connection_id=connection_id, limit=limit),
                caller=caller_for_tenant(tenant_id),
                wait_for_recovery=False,
            )
        except CommandError as error:
            log.warning("connection_limit_not_checked", reason=error.detail)
            return
        if not reservation.granted:
            raise PlanLimitReached("the plan allows no more connections at once")
