"""A channel of the organization: a managed topic whose messages are kept."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol

from artcafe_client.errors import Gap
from artcafe_client.message import Ack, Data
from artcafe_client.receive_queue import Limits, Overflow, Source
from artcafe_client.subscription import Subscription
from artcafe_client.transports.link import Start, Target


class _Publish(Protocol):
    def __call__(
        self,
        target: Target,
        data: Data,
        headers: "Mapping[str, str] | None",
        message_id: "str | None",
    ) -> Awaitable[Ack]: ...


class Channel:
    """One channel; made by `client.channel`."""

    def __init__(self, name: str, publish: _Publish, subscribe: Callable[[Source], Subscription]) -> None:
        self.name = name
        self._target = Target(name, is_channel=True)
        self._publish = publish
        self._subscribe = subscribe

    def __repr__(self) -> str:
        return f"Channel({self.name!r})"

    async def publish(
        self, data: Data, *, headers: "Mapping[str, str] | None" = None, message_id: "str | None" = None
    ) -> Ack:
        """Publish a message, and return when it is stored: `ack.seq` is its place.

        The same `message_id` published again within two minutes is stored and delivered once (`ack.duplicate`). Without
        one, the message gets a random id; an error carries it, so that it can be published again.
        """
        return await self._publish(self._target, data, headers, message_id)

    def subscribe(
        self,
        *,
        resume_from: "int | None" = None,
        since: "datetime | None" = None,
        last: "int | None" = None,
        queue: "str | None" = None,
        on_gap: "Callable[[Gap], None] | None" = None,
        max_pending: int = Limits().messages,
        max_pending_bytes: int = Limits().bytes,
        overflow: Overflow = Overflow.PAUSE,
    ) -> Subscription:
        """The channel's messages, each once, also over losses of the connection.

        `resume_from` is the `seq` of the last message that was handled before: it continues with the next one. `since` is a
        time, `last` a number of messages to begin with. Without them it begins with new messages; the members of one `queue`
        group share those, and miss what is published while none of them is connected. Messages that are not kept any more
        raise `Gap`, or are passed to `on_gap`.
        """
        places = [each for each in (resume_from, since, last) if each is not None]
        if len(places) > 1 or (places and queue is not None):
            raise ValueError("give one of resume_from, since, last and queue")
        start = Start(since=resume_from + 1 if resume_from is not None else since, last=last)
        return self._subscribe(
            Source(
                target=self._target,
                queue=queue,
                start=None if queue is not None else start,
                required=bool(places),
                overflow=Overflow.DROP_OLDEST
                if queue is not None and overflow is Overflow.PAUSE
                else overflow,
                limits=Limits(messages=max_pending, bytes=max_pending_bytes),
                on_gap=on_gap,
            )
        )
