"""What the broker knows of direct NATS connections: subscriptions, traffic and what waits to be sent."""

from collections.abc import Sequence
from functools import partial

import msgspec
from nats.aio.client import Client as Nats

from artcafe_common.broker.server_requests import request_server
from artcafe_common.bus.errors import DECODE_ERRORS, ServiceUnavailable
from artcafe_common.concurrency import run_bounded
from artcafe_common.contracts.presence import DirectConnectionDetails
from artcafe_presence.records import parse_nats_connection_id

MAX_SUBSCRIPTIONS = 100
# The broker lists all subscriptions of a connection or none; of one with more than these, they are only counted.
MAX_LISTABLE_SUBSCRIPTIONS = 500
MAX_CONCURRENT_REQUESTS = 8


class _Connection(msgspec.Struct, frozen=True, kw_only=True):
    name_tag: str = ""
    lang: str = ""
    version: str = ""
    pending_bytes: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    subscriptions: int = 0
    subscriptions_list: list[str] = []


class _Connz(msgspec.Struct, frozen=True, kw_only=True):
    connections: list[_Connection] = []


class _ConnzReply(msgspec.Struct, frozen=True, kw_only=True):
    data: _Connz = _Connz()


class ConnectionInspector:
    """Asks the servers of direct NATS connections for their details."""

    def __init__(self, system: Nats) -> None:
        self._system = system

    async def inspect(
        self, tenant_id: str, connection_ids: Sequence[str]
    ) -> dict[str, DirectConnectionDetails]:
        """The details of connections of a tenant by id, without those that ended and those whose server is silent."""
        found = await run_bounded(
            [partial(self._inspect, tenant_id, each) for each in connection_ids],
            limit=MAX_CONCURRENT_REQUESTS,
        )
        return {each.connection_id: each for each in found if each is not None}

    async def _inspect(self, tenant_id: str, connection_id: str) -> DirectConnectionDetails | None:
        server_id, cid = parse_nats_connection_id(connection_id)
        try:
            found = await self._read(server_id, cid, subscriptions=False)
            if found is None or found.name_tag != tenant_id:
                return None
            listed: list[str] = []
            if 0 < found.subscriptions <= MAX_LISTABLE_SUBSCRIPTIONS:
                listing = await self._read(server_id, cid, subscriptions=True)
                listed = [] if listing is None else listing.subscriptions_list
        except (ServiceUnavailable, *DECODE_ERRORS):
            return None
        return DirectConnectionDetails(
            connection_id=connection_id,
            library=f"{found.lang} {found.version}".strip()[:64],
            queued_bytes=found.pending_bytes,
            messages_in=found.in_msgs,
            messages_out=found.out_msgs,
            bytes_in=found.in_bytes,
            bytes_out=found.out_bytes,
            subscription_count=found.subscriptions,
            subscriptions=sorted(listed)[:MAX_SUBSCRIPTIONS],
        )

    async def _read(self, server_id: str, cid: int, *, subscriptions: bool) -> _Connection | None:
        query = msgspec.json.encode({"cid": cid, "auth": True, "subscriptions": subscriptions})
        reply = await request_server(self._system, server_id, "CONNZ", query)
        connections = msgspec.json.decode(reply, type=_ConnzReply).data.connections
        return connections[0] if connections else None
