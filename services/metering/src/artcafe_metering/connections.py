"""Traffic totals of the broker's connections, from its connection lists and its DISCONNECT events."""

from datetime import datetime
from typing import Self

import msgspec

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import BrokerConnection, ConnectionEvent
from artcafe_metering.periods import time_bucket


class TrafficTotals(msgspec.Struct, frozen=True, kw_only=True):
    """A connection's traffic since it opened; `in_*` is what the client sent."""

    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int


class ConnectionSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A connection and its totals at one time; `stop` is set once it has closed.

    `server` is the nats-server's id: it is new at each start, so `server` and `cid` are never reused.
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
    totals: TrafficTotals

    @classmethod
    def from_listing(cls, server: str, connection: BrokerConnection) -> Self:
        """A snapshot from a connection list."""
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
            totals=TrafficTotals(
                in_msgs=connection.in_msgs,
                in_bytes=connection.in_bytes,
                out_msgs=connection.out_msgs,
                out_bytes=connection.out_bytes,
            ),
        )

    @classmethod
    def from_disconnect(cls, event: ConnectionEvent, received_at: datetime) -> Self:
        """The last snapshot of a connection, from its DISCONNECT event."""
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
            stop=client.stop or received_at,
            totals=TrafficTotals(
                in_msgs=event.sent.msgs,
                in_bytes=event.sent.bytes,
                out_msgs=event.received.msgs,
                out_bytes=event.received.bytes,
            ),
        )

    @property
    def key(self) -> str:
        """The Redis key of the connection's counters."""
        return connection_key(self.server, self.cid)

    @property
    def in_tenant_account(self) -> bool:
        """False for connections in the platform's own accounts."""
        return bool(ULID_PATTERN.match(self.tenant_id))

    def duration_s(self, now: datetime) -> int:
        """How long the connection has been open, or was."""
        return max(0, int(((self.stop or now) - self.start).total_seconds()))

    def script_row(
        self, client_id: str, *, bridge: bool, now: datetime, counted: TrafficTotals | None = None
    ) -> dict[str, object]:
        """The arguments for the script; traffic is counted in the hour of the snapshot, at most until `stop`.

        `counted` are the totals that were counted last, if they are known.
        """
        bucket = time_bucket(min(now, self.stop or now))
        totals = self.totals
        row: dict[str, object] = {
            "key": self.key,
            "tenant": self.tenant_id,
            "client": client_id,
            "bridge": bridge,
            "totals": [
                totals.in_msgs,
                totals.in_bytes,
                totals.out_msgs,
                totals.out_bytes,
                self.duration_s(now),
            ],
            "started": int(self.start.timestamp() * 1000),
            "ended": int(self.stop.timestamp() * 1000) if self.stop else 0,
            "day": bucket.day,
            "hour": bucket.hour,
            "minute": bucket.minute,
        }
        if counted is not None:
            row["counted"] = [counted.in_msgs, counted.in_bytes, counted.out_msgs, counted.out_bytes]
        return row


def connection_key(server: str, cid: int | str) -> str:
    """The Redis key of a connection's counters; with `*`, the pattern of such keys."""
    return f"meter:conn:{server}:{cid}"
