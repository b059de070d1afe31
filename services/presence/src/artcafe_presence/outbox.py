"""Telling others what changed: out of the outboxes, in order for each client or connection."""

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
from artcafe_presence.records import Entry, RowChange, Transition, moment
from artcafe_presence.store import Store

BATCH = 200
LOOK_S = 0.25
HOLD_S = 1
ANNOUNCEMENTS_AT_ONCE = 100
log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)


class Outbox(Generic[T]):
    """Sends the entries of one outbox and removes them once they were sent.

    `send` is given all that is `about` the same thing, oldest first; what failed comes again.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        kind: type[T],
        *,
        about: Callable[[T], str],
        send: Callable[[list[tuple[Entry, T]]], Awaitable[None]],
        at_once: int = 1,
    ) -> None:
        self._store = store
        self._name = name
        self._kind = kind
        self._about = about
        self._send = send
        self._slots = asyncio.Semaphore(at_once)

    async def drain(self) -> None:
        """Wait a moment for news, then send until nothing is left that this instance may send."""
        news = self._store.emitted[self._name]
        try:
            async with asyncio.timeout(LOOK_S):
                await news.wait()
        except TimeoutError:
            pass  # another instance may have left something
        news.clear()
        entries = await self._store.claim(self._name, BATCH)
        if not entries:
            return
        async with self._holding():
            while entries:
                await self._send_batch(entries)
                entries = await self._store.claim(self._name, BATCH)

    async def _send_batch(self, entries: list[Entry]) -> None:
        lines: dict[str, list[tuple[Entry, T]]] = {}
        unreadable: list[str] = []
        for entry in entries:
            try:
                item = msgspec.json.decode(entry.data, type=self._kind)
            except msgspec.DecodeError:
                log.exception("outbox_entry_not_understood", outbox=self._name, entry=entry.id)
                unreadable.append(entry.id)
                continue
            lines.setdefault(self._about(item), []).append((entry, item))
        results = await asyncio.gather(*map(self._send_line, lines.values()), return_exceptions=True)
        done = [
            entry.id
            for line, result in zip(lines.values(), results, strict=True)
            if result is None
            for entry, _ in line
        ]
        await self._store.sent(self._name, unreadable + done)
        for result in results:
            if result is not None:
                raise result

    async def _send_line(self, line: list[tuple[Entry, T]]) -> None:
        async with self._slots:
            await self._send(line)

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[None]:
        # Short-lived, so that what a killed instance left is not left for long.
        keeper = asyncio.create_task(self._keep_holding())
        try:
            yield
        finally:
            keeper.cancel()
            with suppress(CommandError):
                await self._store.hold(self._name, release=True)

    async def _keep_holding(self) -> None:
        while True:
            await asyncio.sleep(HOLD_S)
            with suppress(CommandError):
                await self._store.hold(self._name)


def announcements(store: Store, bus: Bus) -> Outbox[Transition]:
    """Tells the platform and the tenant that a client went online or offline, in order for each client."""

    async def send(line: list[tuple[Entry, Transition]]) -> None:
        for entry, transition in line:
            last_seen = moment(transition.last_seen)
            # Announced again, the broker knows it by its id.
            await bus.publish(
                PresenceChanged(
                    event_id=entry.event_id,
                    occurred_at=entry.at,
                    tenant_id=transition.tenant_id,
                    client_id=transition.client_id,
                    account=transition.account,
                    online=transition.online,
                    last_seen=last_seen,
                    reason=transition.reason,
                    ip=transition.ip,
                    kind=transition.kind,
                )
            )
            notice = PresenceUpdate(
                client_id=transition.client_id,
                status="online" if transition.online else "offline",
                last_seen=last_seen,
            )
            subject = f"artcafe.tenant.{transition.account}.presence.{transition.client_id}"
            with suppress(nats.errors.Error, OSError):
                await bus.nc.publish(subject, msgspec.json.encode(notice))

    return Outbox(
        store,
        "transitions",
        Transition,
        about=lambda transition: transition.client_id,
        send=send,
        at_once=ANNOUNCEMENTS_AT_ONCE,
    )


def table_changes(store: Store) -> Outbox[RowChange]:
    """Writes the connection table; a DynamoDB that is away delays it and nothing else."""

    async def send(line: list[tuple[Entry, RowChange]]) -> None:
        await store.write_rows([change for _, change in line])

    return Outbox(store, "rows", RowChange, about=lambda _: "the table", send=send)
