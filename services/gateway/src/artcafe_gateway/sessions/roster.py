"""The roster over a client's WebSocket."""

from contextlib import suppress

import msgspec

from artcafe_common.bus.errors import DeadlineExceeded, ServiceUnavailable
from artcafe_gateway.delivery.message import MAX_FRAME_BYTES
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.lookup_cache import caller_for_tenant
from artcafe_gateway.reporting.roster import RosterQuery
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.socket import Socket


class RosterAnswerer:
    """Answers one socket's requests for pages, which count as REST calls of its organization."""

    def __init__(self, socket: Socket, tenant_id: str, gateway: Gateway) -> None:
        self._socket = socket
        self._tenant_id = tenant_id
        self._gateway = gateway

    async def answer(self, received: frames.ListRoster) -> None:
        """Sends a page; RateLimited, InvalidCursor, other CommandErrors."""
        await self._count_call()
        limit = received.limit
        while True:
            query = RosterQuery(
                limit=limit, cursor=received.cursor, status=received.status, name=received.name
            )
            page = await self._gateway.roster.read(query, caller_for_tenant(self._tenant_id))
            answer = frames.RosterPage(id=received.id, roster=page.roster, next_cursor=page.next_cursor)
            # Large metadata: a page is as long as fits into a frame.
            if limit == 1 or len(msgspec.json.encode(answer)) <= MAX_FRAME_BYTES:
                self._socket.send(answer)
                return
            limit //= 2

    async def _count_call(self) -> None:
        # Without tenancy, no call is limited.
        with suppress(ServiceUnavailable, DeadlineExceeded):
            plan = await self._gateway.lookup_cache.plan(self._tenant_id)
            result = await self._gateway.rate_limits.check_tenant(self._tenant_id, plan)
            if result is not None and not result.allowed:
                raise RateLimited("too many calls in a minute", retry_after_s=result.retry_after_s)
        self._gateway.usage.record_api_call(self._tenant_id)
