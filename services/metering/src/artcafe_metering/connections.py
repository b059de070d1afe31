"""What the broker knows of one connection, from whichever side it was told."""

from datetime import datetime
from typing import Self

import msgspec

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import BrokerConnection, ConnectionEvent
from artcafe_metering.periods import stamp


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection did since it began; `in_*` is what the client sent."""

    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A connection with its totals; `stop` is set once it has ended.

    `server` is the nats-server's id: it is new at each start, as connection ids are.
    """

    server: str
    cid: int
    account: str
    tenant_id: str
    user: str
    issuer: str
    name: str = ""
    start: datetime
    stop: datetime | None
    totals: Totals

    @classmethod
    def listed(cls, server: str, connection: BrokerConnection) -> Self:
        """From a listing."""
        return cls(
            server=server,
            cid=connection.cid,
            account=connection.account,
            tenant_id=connection.name_tag,
            user=connection.authorized_user,
            issuer=connection.issuer_key,
            name=connection.name,
            start=connection.start,
            stop=connection.stop,
            totals=Totals(
                in_msgs=connection.in_msgs,
                in_bytes=connection.in_bytes,
                out_msgs=connection.out_msgs,
                out_bytes=connection.out_bytes,
            ),
        )

    @classmethod
    def ended(cls, event: ConnectionEvent, at: datetime) -> Self:
        """From the event of its end."""
        client = event.client
        return cls(
            server=event.server.id,
            cid=client.id,
            account=client.acc,
            tenant_id=client.name_tag,
            user=client.user,
            issuer=client.issuer_key,
            name=client.name,
            start=client.start,
            stop=client.stop or at,
            totals=Totals(
                in_msgs=event.sent.msgs,
                in_bytes=event.sent.bytes,
                out_msgs=event.received.msgs,
                out_bytes=event.received.bytes,
            ),
        )

    @property
    def key(self) -> str:
        """Its name among the counters."""
        return connection_key(self.server, self.cid)

    @property
    def is_tenants(self) -> bool:
        """Whether it is in a tenant's account, and not the platform's own."""
        return bool(ULID_PATTERN.match(self.tenant_id))

    def seconds(self, now: datetime) -> int:
        """How long it has lasted."""
        return max(0, int(((self.stop or now) - self.start).total_seconds()))

    def row(self, client_id: str, *, bridge: bool, now: datetime) -> dict[str, object]:
        """What the counting script is told; what a connection did is counted no later than it ended."""
        when = stamp(min(now, self.stop or now))
        totals = self.totals
        return {
            "key": self.key,
            "tenant": self.tenant_id,
            "client": client_id,
            "bridge": bridge,
            "totals": [
                totals.in_msgs,
                totals.in_bytes,
                totals.out_msgs,
                totals.out_bytes,
                self.seconds(now),
            ],
            "ended": int(self.stop.timestamp() * 1000) if self.stop else 0,
            "day": when.day,
            "hour": when.hour,
        }


def connection_key(server: str, cid: int) -> str:
    """A connection's name among the counters."""
    return f"meter:conn:{server}:{cid}"
