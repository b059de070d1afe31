"""Copies presence to clients and agents, so that lists can be filtered by status."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from artcafe_common.concurrency import run_bounded
from artcafe_common.contracts.presence import ClientKind, PresenceChanged
from artcafe_tenancy.store import Store

MAX_CONCURRENT_UPDATES = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PresenceMirror:
    """Applies PresencesChanged. Idempotent; late and reordered changes are ignored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def apply(self, changes: Sequence[PresenceChanged]) -> None:
        """Store the latest presence of each client, unless a newer one is stored."""
        latest: dict[tuple[str, str], PresenceChanged] = {}
        for change in sorted(changes, key=lambda each: (each.last_seen, each.occurred_at)):
            latest[change.tenant_id, change.client_id] = change
        await run_bounded(
            (partial(self._update, change) for change in latest.values()), limit=MAX_CONCURRENT_UPDATES
        )

    async def _update(self, change: PresenceChanged) -> None:
        table = self._store.agents if change.kind is ClientKind.AGENT else self._store.clients
        await table.update_presence(
            change.tenant_id,
            change.client_id,
            online=change.online,
            seen_us=to_microseconds(change.last_seen),
            told_us=to_microseconds(change.occurred_at),
        )


def to_microseconds(time: datetime) -> int:
    """Microseconds since the epoch, which DynamoDB compares exactly."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int | None) -> datetime | None:
    """The time in UTC; None for None."""
    return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND
