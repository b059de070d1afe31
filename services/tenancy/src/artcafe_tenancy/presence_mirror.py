"""The mirror of presence on clients and agents, so that lists can be filtered by status."""

from datetime import UTC, datetime, timedelta

from artcafe_common.contracts.presence import ClientKind, PresenceChanged
from artcafe_tenancy.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PresenceMirror:
    """Applies what presence announces; safe to be told twice, late or out of order."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def apply(self, event: PresenceChanged) -> None:
        """Note a transition, unless something newer is known."""
        table = self._store.agents if event.kind is ClientKind.AGENT else self._store.clients
        await table.mirror(
            event.tenant_id,
            event.client_id,
            online=event.online,
            seen_us=microseconds(event.last_seen),
            told_us=microseconds(event.occurred_at),
        )


def microseconds(time: datetime) -> int:
    """A time as an integer that stores compare exactly."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(microseconds: int | None) -> datetime | None:
    """The time that `microseconds` stands for."""
    return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND
