"""The relay of the transactional outboxes: publishes their entries, in order for each key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

import msgspec
import nats.errors
import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import PresenceChanged, PresenceUpdate
from artcafe_presence.health import assess_health
from artcafe_presence.records import OutboxEntry, RowChange, Transition, from_ms
from artcafe_presence.store import Store

BATCH = 200
POLL_INTERVAL_S = 0.25
LEASE_RENEWAL_S = 1
CONCURRENT_TRANSITIONS = 100
log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)


class OutboxRelay(Generic[T]):
    """Sends the entries of one outbox and deletes those that were sent.

    `send` receives the entries of one `key`, oldest first. Delivery is at least once:

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
        key: Callable[[T], str],
        send: Callable[[list[tuple[OutboxEntry, T]]], Awaitable[None]],
        concurrency: int = 1,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._item_type = item_type
        self._key = key
        self._send = send
        self._slots = asyncio.Semaphore(concurrency)

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
        groups: dict[str, list[tuple[OutboxEntry, T]]] = {}
        invalid: list[str] = []
        for entry in entries:
            try:
                item = msgspec.json.decode(entry.data, type=self._item_type)
            except msgspec.DecodeError:
                log.exception("outbox_entry_invalid", outbox=self._outbox, entry=entry.id)
                invalid.append(entry.id)
                continue
            groups.setdefault(self._key(item), []).append((entry, item))
        results = await asyncio.gather(*map(self._send_group, groups.values()), return_exceptions=True)
        sent = [
            entry.id
            for group, result in zip(groups.values(), results, strict=True)
            if result is None
            for entry, _ in group
        ]
        await self._store.delete_entries(self._outbox, invalid + sent)
        for result in results:
            if result is not None:
                raise result

    async def _send_group(self, group: list[tuple[OutboxEntry, T]]) -> None:
        async with self._slots:
            await self._send(group)

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
    """Publish each client's transitions to the platform and to its tenant, in order."""

    async def send(group: list[tuple[OutboxEntry, Transition]]) -> None:
        for entry, transition in group:
            last_seen = from_ms(transition.last_seen)
            # At this moment it has just sent a heartbeat, or none.
            health = assess_health(
                online=transition.online,
                heartbeat_age_s=0.0 if transition.beats else None,
                status=None,
                reason=transition.reason,
                interval_s=1.0,
            )
            # The event id is the same when it is published again, so JetStream drops the duplicate.
            await bus.publish(
                PresenceChanged(
                    event_id=entry.event_id,
                    occurred_at=entry.at,
                    tenant_id=transition.tenant_id,
                    client_id=transition.client_id,
                    account=transition.account,
                    online=transition.online,
                    health=health,
                    last_seen=last_seen,
                    reason=transition.reason,
                    ip=transition.ip,
                    kind=transition.kind,
                )
            )
            update = PresenceUpdate(
                client_id=transition.client_id,
                status="online" if transition.online else "offline",
                health=health,
                last_seen=last_seen,
            )
            subject = f"artcafe.tenant.{transition.account}.presence.{transition.client_id}"
            with suppress(nats.errors.Error, OSError):
                await bus.nc.publish(subject, msgspec.json.encode(update))

    return OutboxRelay(
        store,
        "transitions",
        Transition,
        key=lambda transition: transition.client_id,
        send=send,
        concurrency=CONCURRENT_TRANSITIONS,
    )


def row_relay(store: Store) -> OutboxRelay[RowChange]:
    """Write row changes to the connection table; a DynamoDB outage only delays them."""

    async def send(group: list[tuple[OutboxEntry, RowChange]]) -> None:
        await store.write_rows([change for _, change in group])

    return OutboxRelay(store, "rows", RowChange, key=lambda _: "rows", send=send)
