"""Enforces the plan's limit of concurrent connections."""

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.connection_limit import reserve_connection
from artcafe_gateway.lookup_cache import LookupCache, caller_for_tenant

log = structlog.get_logger()


class ConnectionLimit:
    """Reserves the connections of WebSockets within the plans of their organizations."""

    def __init__(self, bus: Bus, lookup_cache: LookupCache) -> None:
        self._bus = bus
        self._lookup_cache = lookup_cache

    async def reserve(self, tenant_id: str, connection_id: str) -> None:
        """Reserve a connection before it opens; PlanLimitReached when the plan allows no more.

        The connection is allowed when presence or tenancy does not answer.
        """
        try:
            plan = await self._lookup_cache.plan(tenant_id)
        except CommandError as error:
            log.warning("connection_limit_not_checked", reason=error.detail)
            return
        caller = caller_for_tenant(tenant_id)
        await reserve_connection(self._bus, caller=caller, plan=plan, connection_id=connection_id)
