"""A NATS connection within one process: publish, subscribe, and replies to an inbox."""

import asyncio
import itertools

import nats.errors


class FakeMessage:
    """A received message; `respond` publishes to its reply subject."""

    def __init__(self, nc, subject, data, reply="", headers=None):
        self._nc = nc
        self.subject = subject
        self.data = data
        self.reply = reply
        self.headers = headers

    async def respond(self, data):
        await self._nc.publish(self.reply, data)


class FakeQueueSubscription:
    """A subscription that is read with `next_msg`."""

    def __init__(self, subscriptions, subject):
        self._subscriptions = subscriptions
        self._subject = subject
        self.queue = asyncio.Queue()

    async def next_msg(self, timeout):
        try:
            return await asyncio.wait_for(self.queue.get(), timeout)
        except TimeoutError:
            raise nats.errors.TimeoutError from None

    async def unsubscribe(self):
        self._subscriptions.pop(self._subject, None)


class FakeNats:
    """Delivers each message at once to every subscription of exactly its subject."""

    def __init__(self):
        self.inboxes = {}
        self._callbacks = {}
        self._numbers = itertools.count(1)
        self.error = None

    def new_inbox(self):
        return f"_INBOX.{next(self._numbers)}"

    async def subscribe(self, subject, cb=None, queue=""):
        if self.error is not None:
            raise self.error
        if cb is not None:
            self._callbacks.setdefault(subject, []).append(cb)
            return None
        subscription = self.inboxes[subject] = FakeQueueSubscription(self.inboxes, subject)
        return subscription

    async def publish(self, subject, data, reply=""):
        for callback in self._callbacks.get(subject, ()):
            await callback(FakeMessage(self, subject, data, reply))
        if subject in self.inboxes:
            self.inboxes[subject].queue.put_nowait(FakeMessage(self, subject, data, reply))
