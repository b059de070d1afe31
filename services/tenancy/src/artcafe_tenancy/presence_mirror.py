"""Copies presence to clients and agents, so that lists can be filtered by status."""

from datetime import UTC, datetime, timedelta

from artcafe_common.contracts.presence import ClientKind, PresenceChanged
from artcafe_tenancy.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PresenceMirror:
    """Applies PresenceChanged. Idempotent; late and reordered events are ignored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def on_presence_changed(self, event: PresenceChanged) -> None:
        """Store the presence unless a newer one is stored."""
        table = self._store.agents if event.kind is ClientKind.AGENT else self._store.clients
        await table.update_presence(
            event.tenant_id,
            event.client_id,
            online=event.online,
            seen_us=to_microseconds(event.last_seen),
            told_us=to_microseconds(event.occurred_at),
        )


def to_microseconds(time: datetime) -> int:
    """Microseconds since the epoch, which DynamoDB compares exactly."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int | None) -> datetime | None:
    """The time in UTC; None for None."""
    return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND
