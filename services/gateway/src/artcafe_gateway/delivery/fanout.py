"""From one NATS subscription to everybody behind it: rendered once, joined, written once a loop turn.

The cost of fan-out is the system call, not Python: so all that comes for the same readers within
a turn of the event loop goes to each of them in one write (docs/performance.md).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from artcafe_gateway.delivery.message import Delivery
from artcafe_gateway.wire.transport import Outbox, frame

# What is joined before the turn is over, so that a slow reader is noticed in time.
EARLY_FLUSH = 64 * 1024

Counts = dict[str, list[int]]
Render = Callable[[Delivery, str], bytes]
Spell = Callable[[str], str]


class Listener(Protocol):
    """Somebody who looks at each message alone."""

    def deliver(self, delivery: Delivery) -> None:
        """Take one message; must not block or raise."""


class Reader(Protocol):
    """Somebody who takes whatever comes, in the form of their audience."""

    outbox: Outbox

    def took(self, counts: Counts) -> None:
        """What was just written: by channel, how many messages and payload bytes."""

    def asked(self, reply: str) -> None:
        """A message asks for an answer on this subject."""


class Audience:
    """The readers of one route who want the same bytes."""

    __slots__ = ("_counts", "_frames", "_loop", "_render", "_size", "_spell", "readers")

    def __init__(self, spell: Spell, render: Render) -> None:
        self._spell = spell
        self._render = render
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self._size = 0
        self._counts: Counts = {}
        self.readers: dict[Reader, None] = {}

    def take(self, delivery: Delivery) -> None:
        """Render a message for all readers; it leaves at the end of the turn."""
        framed = frame(self._render(delivery, self._spell(delivery.subject)))
        if not self._frames:
            self._loop.call_soon(self.flush)
        self._frames.append(framed)
        self._size += len(framed)
        counts = self._counts.get(delivery.channel or "")
        if counts is None:
            counts = self._counts[delivery.channel or ""] = [0, 0]
        counts[0] += 1
        counts[1] += delivery.payload_size
        if delivery.reply is not None:
            for reader in self.readers:
                reader.asked(delivery.reply)
        if self._size > EARLY_FLUSH:
            self.flush()

    def flush(self) -> None:
        """Write what was rendered to every reader."""
        if not self._frames:
            return
        joined = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        counts = self._counts
        self._frames, self._size, self._counts = [], 0, {}
        for reader in self.readers:
            if reader.outbox.write(joined):
                reader.took(counts)


class NaiveAudience(Audience):
    """One awaited send for each reader and message: what the joined way is measured against."""

    __slots__ = ("_queue", "_task")

    def __init__(self, spell: Spell, render: Render) -> None:
        super().__init__(spell, render)
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    def take(self, delivery: Delivery) -> None:
        self._queue.put_nowait(delivery)

    async def _run(self) -> None:
        while True:
            delivery = await self._queue.get()
            text = self._render(delivery, self._spell(delivery.subject)).decode()
            for reader in tuple(self.readers):
                if await reader.outbox.send_text(text):
                    reader.took({delivery.channel or "": [1, delivery.payload_size]})


class Route:
    """One NATS subscription and everybody behind it.

    `users` counts who holds it; `confirmed` is set once the broker is known to have it.
    """

    __slots__ = ("_audiences", "_make", "_tenant_id", "confirmed", "listeners", "sid", "users")

    def __init__(self, tenant_id: str, make: type[Audience]) -> None:
        self._tenant_id = tenant_id
        self._make = make
        self._audiences: dict[tuple[str, str], Audience] = {}
        self.listeners: dict[Listener, None] = {}
        self.users = 0
        self.confirmed = False
        self.sid = 0

    def receive(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:
        """Pass a message of the broker on."""
        self.pass_on(Delivery(self._tenant_id, subject, reply, payload, headers))

    def restored(self) -> None:
        """The broker has the subscription again, after a time in which messages were missed."""

    def pass_on(self, delivery: Delivery) -> None:
        """Give a message to everybody."""
        for audience in self._audiences.values():
            audience.take(delivery)
        for listener in tuple(self.listeners):
            listener.deliver(delivery)

    def join(self, key: tuple[str, str], reader: Reader, spell: Spell, render: Render) -> None:
        """Give a reader all that comes from now on, in the form that `key` names."""
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = self._make(spell, render)
        audience.flush()
        audience.readers[reader] = None

    def leave(self, key: tuple[str, str], reader: Reader) -> None:
        """Give a reader no more; what came before is written."""
        audience = self._audiences.get(key)
        if audience is None:
            return
        audience.flush()
        audience.readers.pop(reader, None)
        if not audience.readers:
            del self._audiences[key]
