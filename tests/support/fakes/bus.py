"""A bus without a broker: commands are answered from a table, events are recorded."""

import asyncio
from collections import Counter, defaultdict

from artcafe_common.tracing import DISABLED
from support.fakes.nats import FakeNats


class FakeBus:
    """Answers commands with `replies[type(command)]`: a value, an exception, or a function of the command.

    `publish_error` makes `publish` fail. `hold(command_type)` blocks the calls of a command until `release`.
    """

    def __init__(self, replies=None, *, nc=None):
        self.tracer = DISABLED
        self.replies = dict(replies or {})
        self.nc = nc or FakeNats()
        self.calls = []
        self.callers = []
        self.events = []
        # As `events`, with those that could not be published.
        self.attempts = []
        self.signals = []
        self.publish_error = None
        self._handlers = defaultdict(list)
        self._held = {}

    async def call(self, command, *, caller=None, deadline_s=None, wait_for_recovery=True):
        self.calls.append(command)
        self.callers.append(caller)
        await asyncio.sleep(0)
        if (held := self._held.get(type(command))) is not None:
            await held.wait()
        reply = self.replies[type(command)]
        if callable(reply) and not isinstance(reply, type):
            reply = reply(command)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def count(self, command_type):
        """How many commands of a type were sent."""
        return Counter(map(type, self.calls))[command_type]

    def hold(self, command_type):
        self._held[command_type] = asyncio.Event()

    def release(self, command_type):
        self._held.pop(command_type).set()

    async def publish(self, event):
        await asyncio.sleep(0)
        self.attempts.append(event)
        if self.publish_error is not None:
            raise self.publish_error
        self.events.append(event)

    async def notify(self, signal):
        self.signals.append(signal)

    async def subscribe(self, event, handler):
        self._handlers[event].append(handler)

    async def emit(self, event):
        """Deliver an event to the subscribed handlers."""
        for handler in self._handlers[type(event)]:
            await handler(event)
