"""The relay of the transactional outboxes: sends their entries in order, and many together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

import msgspec
import nats.errors
import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import PresenceChanged, PresencesChanged, PresenceUpdate
from artcafe_presence.health import assess_health
from artcafe_presence.records import OutboxEntry, RowChange, Transition, from_ms
from artcafe_presence.store import Store

BATCH = 200
POLL_INTERVAL_S = 0.25
LEASE_RENEWAL_S = 1
log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)


class OutboxRelay(Generic[T]):
    """Sends the entries of one outbox and deletes those that were sent.

    `send` receives entries, oldest first. Delivery is at least once:

        written --claim_entries--> leased --send--> sent --delete_entries--> gone
           ^                         |                |
           +---- send failed, or the lease expired ---+

    One instance at a time holds the lease of an outbox; entries stay in Redis until they are deleted.
    """

    def __init__(
        self,
        store: Store,
        outbox: str,
        item_type: type[T],
        *,
        send: Callable[[list[tuple[OutboxEntry, T]]], Awaitable[None]],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._item_type = item_type
        self._send = send

    async def drain(self) -> None:
        """Wait for entries or the next poll, then send until the outbox is empty or leased elsewhere."""
        ready = self._store.outbox_ready[self._outbox]
        try:
            async with asyncio.timeout(POLL_INTERVAL_S):
                await ready.wait()
        except TimeoutError:
            pass  # another instance may have left entries behind
        ready.clear()
        entries = await self._store.claim_entries(self._outbox, BATCH)
        if not entries:
            return
        async with self._lease():
            while entries:
                await self._send_batch(entries)
                entries = await self._store.claim_entries(self._outbox, BATCH)

    async def _send_batch(self, entries: list[OutboxEntry]) -> None:
        items: list[tuple[OutboxEntry, T]] = []
        for entry in entries:
            try:
                items.append((entry, msgspec.json.decode(entry.data, type=self._item_type)))
            except msgspec.DecodeError:
                log.exception("outbox_entry_invalid", outbox=self._outbox, entry=entry.id)
        if items:
            await self._send(items)
        await self._store.delete_entries(self._outbox, [entry.id for entry in entries])

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[None]:
        # Short-lived, so that another instance soon sends what a killed one left.
        renewal = asyncio.create_task(self._renew_lease())
        try:
            yield
        finally:
            renewal.cancel()
            with suppress(CommandError):
                await self._store.release_lease(self._outbox)

    async def _renew_lease(self) -> None:
        while True:
            await asyncio.sleep(LEASE_RENEWAL_S)
            with suppress(CommandError):
                await self._store.renew_lease(self._outbox)


def transition_relay(store: Store, bus: Bus) -> OutboxRelay[Transition]:
    """Publish transitions to the platform, together and in order, and each to its tenant."""

    async def send(group: list[tuple[OutboxEntry, Transition]]) -> None:
        changes = [_to_change(*each) for each in group]
        # Published again, each change has the same id; JetStream drops the event if it has the same changes.
        event_id = f"{changes[-1].event_id}-{len(changes)}"
        await bus.publish(PresencesChanged(event_id=event_id, changes=changes))
        with suppress(nats.errors.Error, OSError):
            for change in changes:
                update = PresenceUpdate(
                    client_id=change.client_id,
                    status="online" if change.online else "offline",
                    health=change.health,
                    last_seen=change.last_seen,
                )
                subject = f"artcafe.tenant.{change.account}.presence.{change.client_id}"
                await bus.nc.publish(subject, msgspec.json.encode(update))

    return OutboxRelay(store, "transitions", Transition, send=send)


def _to_change(entry: OutboxEntry, transition: Transition) -> PresenceChanged:
    return PresenceChanged(
        event_id=entry.event_id,
        occurred_at=entry.at,
        tenant_id=transition.tenant_id,
        client_id=transition.client_id,
        account=transition.account,
        online=transition.online,
        # At this moment it has just sent a heartbeat, or none.
        health=assess_health(
            online=transition.online,
            heartbeat_age_s=0.0 if transition.beats else None,
            status=None,
            reason=transition.reason,
            interval_s=1.0,
        ),
        last_seen=from_ms(transition.last_seen),
        reason=transition.reason,
        ip=transition.ip,
        kind=transition.kind,
    )


def row_relay(store: Store) -> OutboxRelay[RowChange]:
    """Write row changes to the connection table; a DynamoDB outage only delays them."""

    async def send(group: list[tuple[OutboxEntry, RowChange]]) -> None:
        await store.write_rows([change for _, change in group])

    return OutboxRelay(store, "rows", RowChange, send=send)
