"""The same client without asyncio, for programs of threads; a thread of its own runs the connection.

```python
with artcafe_client.sync.connect(seed=seed, client_id=client_id) as client:
    client.publish("orders.new", {"n": 1})
    for message in client.subscribe("orders.>"):
        print(message.subject, message.data)
```
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from artcafe_client import connecting
from artcafe_client.client import RESPONDERS, Client
from artcafe_client.errors import ClientClosed, Gap
from artcafe_client.message import Ack, Data, Message
from artcafe_client.receive_queue import Limits, Overflow
from artcafe_client.states import State
from artcafe_client.subscription import Subscription

JOIN_TIMEOUT_S = 5.0
T = TypeVar("T")
Function = Callable[[Message], Any]
F = TypeVar("F", bound=Function)


def connect(url: "str | None" = None, **options: Any) -> "SyncClient":
    """Make a client, to be used in `with`. The arguments are those of `artcafe_client.connect`."""
    return SyncClient(connecting.connect(url, **options))


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="artcafe-client", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and wait for its result."""
        if not self._thread.is_alive() or self._loop.is_closed():
            work.close()
            raise ClientClosed("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


class SyncClient:
    """A client for programs without asyncio. Its methods may be called from any thread, and wait for their result."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = _Loop()
        self.presence = SyncPresence(client, self._loop)

    def __enter__(self) -> "SyncClient":
        try:
            self._loop.call(self._client.open())
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        if kind is None:
            self.drain()
        else:
            self.close()

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._client.state

    @property
    def transport(self) -> str:
        """`nats` or `websocket`; empty while there is no connection."""
        return self._client.transport

    def publish(
        self, subject: str, data: Data, *, headers: "Mapping[str, str] | None" = None, confirm: bool = True
    ) -> Ack:
        """Publish a message, and return when the broker has it."""
        return self._loop.call(self._client.publish(subject, data, headers=headers, confirm=confirm))

    def request(
        self,
        subject: str,
        data: Data = None,
        *,
        timeout: float = 5.0,
        headers: "Mapping[str, str] | None" = None,
    ) -> Message:
        """Ask, and return the first answer."""
        return self._loop.call(self._client.request(subject, data, timeout=timeout, headers=headers))

    def subscribe(
        self,
        subject: str,
        *,
        queue: "str | None" = None,
        max_pending: int = Limits().messages,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> "SyncSubscription":
        """Subscribe to a subject or pattern; returns when the server has confirmed it."""

        async def begin() -> Subscription:
            return await self._client.subscribe(
                subject, queue=queue, max_pending=max_pending, overflow=overflow
            )

        return SyncSubscription(self._loop.call(begin()), self._loop)

    def respond(
        self, subject: str, *, queue: "str | None" = RESPONDERS, concurrency: int = 16
    ) -> Callable[[F], F]:
        """Answer requests with the results of a function, which is called in a thread."""

        def register(function: F) -> F:
            async def handler(message: Message) -> Any:
                return await asyncio.to_thread(function, message)

            async def begin() -> None:
                self._client.respond(subject, queue=queue, concurrency=concurrency)(handler)

            self._loop.call(begin())
            return function

        return register

    def channel(self, channel: str) -> "SyncChannel":
        """A channel, by its id or its name; over direct NATS, by its id."""
        return SyncChannel(channel, self._client, self._loop)

    def flush(self, timeout: "float | None" = None) -> None:
        """Return when the server has received everything that was published before."""
        self._loop.call(self._client.flush(timeout))

    def drain(self) -> None:
        """Stop receiving, let functions finish, wait for acknowledgements, and close."""
        self._end(self._client.drain())

    def close(self) -> None:
        """Close at once."""
        self._end(self._client.close())

    def _end(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            self._loop.call(work)
        except ClientClosed:
            return
        finally:
            self._loop.stop()


class SyncSubscription:
    """The messages of a subject or channel, as an iterator that waits for each."""

    def __init__(self, subscription: Subscription, loop: _Loop) -> None:
        self._subscription = subscription
        self._loop = loop

    def __enter__(self) -> "SyncSubscription":
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.unsubscribe()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        message = self._loop.call(self._next(None))
        if message is None:
            raise StopIteration
        return message

    @property
    def dropped(self) -> int:
        """How many messages were lost because the queue was full."""
        return self._subscription.dropped

    def next(self, timeout: "float | None" = None) -> Message:
        """The next message. TimeoutError if there is none in time, StopIteration after the end."""
        try:
            message = self._loop.call(self._next(timeout))
        except asyncio.TimeoutError:
            raise TimeoutError("no message arrived in time") from None
        if message is None:
            raise StopIteration
        return message

    def unsubscribe(self) -> None:
        """End the subscription; what its queue holds can still be read."""
        self._loop.call(self._subscription.unsubscribe())

    async def _next(self, timeout: "float | None") -> "Message | None":
        try:
            return await self._subscription.next(timeout)
        except StopAsyncIteration:
            return None


class SyncChannel:
    """One channel; made by `client.channel`."""

    def __init__(self, name: str, client: Client, loop: _Loop) -> None:
        self.name = name
        self._client = client
        self._loop = loop

    def publish(
        self, data: Data, *, headers: "Mapping[str, str] | None" = None, message_id: "str | None" = None
    ) -> Ack:
        """Publish a message, and return when it is stored: `ack.seq` is its place."""
        channel = self._client.channel(self.name)

        async def publish() -> Ack:
            return await channel.publish(data, headers=headers, message_id=message_id)

        return self._loop.call(publish())

    def subscribe(
        self,
        *,
        resume_from: "int | None" = None,
        since: "datetime | None" = None,
        last: "int | None" = None,
        queue: "str | None" = None,
        on_gap: "Callable[[Gap], None] | None" = None,
    ) -> SyncSubscription:
        """The channel's messages, each once; returns when the server has confirmed the subscription."""

        async def begin() -> Subscription:
            return await self._client.channel(self.name).subscribe(
                resume_from=resume_from, since=since, last=last, queue=queue, on_gap=on_gap
            )

        return SyncSubscription(self._loop.call(begin()), self._loop)


class SyncPresence:
    """A client's presence."""

    def __init__(self, client: Client, loop: _Loop) -> None:
        self._presence = client.presence
        self._loop = loop

    def update(
        self,
        *,
        status: "str | None" = None,
        capabilities: "Sequence[str] | None" = None,
        metadata: "dict[str, Any] | None" = None,
        metrics: "dict[str, Any] | None" = None,
    ) -> None:
        """Report what changed; what is left out stays as it was."""
        work = self._presence.update(
            status=status, capabilities=capabilities, metadata=metadata, metrics=metrics
        )
        self._loop.call(work)

    def roster(self) -> list[dict[str, Any]]:
        """Who is in the organization."""
        return self._loop.call(self._presence.roster())
