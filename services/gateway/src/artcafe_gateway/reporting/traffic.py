"""Replies to the operator's requests for the traffic of this process, by organization."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from artcafe_common.bus.client import Bus
from artcafe_common.bus.request_many import reply_to_requests
from artcafe_common.contracts.gateway import GatewayTraffic, GatewayTrafficRequested, TenantTraffic
from artcafe_gateway.reporting.usage import Totals, UsageTotals
from artcafe_gateway.wire.send_queue import BufferedConnection
from artcafe_gateway.workers import worker_number

# So that a reply fits into one message of the bus.
MAX_TENANTS_PER_REPLY = 1_000


class OpenSession(Protocol):
    """What the report needs of a session."""

    tenant_id: str

    @property
    def socket(self) -> BufferedConnection:
        """Its connection."""


class TrafficReporter:
    """Builds the report from the totals, and from the sessions that are open now."""

    def __init__(self, *, instance: str, server_id: str, totals: UsageTotals) -> None:
        self._instance = instance
        self._server_id = server_id
        self._totals = totals

    async def subscribe(self, bus: Bus, sessions: "Sessions") -> None:
        """Reply to requests."""

        async def reply(request: GatewayTrafficRequested) -> GatewayTraffic:
            return self.report(sessions.all(), min(request.limit, MAX_TENANTS_PER_REPLY))

        await reply_to_requests(bus, GatewayTrafficRequested, reply)

    def report(self, sessions: Iterable[OpenSession], limit: int) -> GatewayTraffic:
        """The report with the organizations that have sockets or were active last."""
        sockets: Counter[str] = Counter()
        unsent: Counter[str] = Counter()
        for session in sessions:
            sockets[session.tenant_id] += 1
            unsent[session.tenant_id] += session.socket.send_queue.backlog
        by_tenant = self._totals.by_tenant
        active = [*reversed(by_tenant), *(each for each, _ in sockets.most_common() if each not in by_tenant)]
        return GatewayTraffic(
            instance=self._instance,
            server_id=self._server_id,
            worker=worker_number(),
            total=_traffic("", self._totals, sockets.total(), unsent.total()),
            tenants=[
                _traffic(each, by_tenant.get(each) or Totals(), sockets[each], unsent[each])
                for each in active[:limit]
            ],
        )


class Sessions(Protocol):
    """The open sessions of this process."""

    def all(self) -> Iterable[OpenSession]:
        """Every session."""


def _traffic(tenant_id: str, totals: Totals, sockets: int, unsent_bytes: int) -> TenantTraffic:
    return TenantTraffic(
        tenant_id=tenant_id,
        sockets=sockets,
        unsent_bytes=unsent_bytes,
        messages=totals.messages,
        deliveries=totals.deliveries,
        bytes_in=totals.bytes_in,
        bytes_out=totals.bytes_out,
        api_calls=totals.api_calls,
        slow_consumers=totals.slow_consumers,
    )
