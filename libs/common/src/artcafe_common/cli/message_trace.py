"""What `artcafe trace` follows: one message, by the `traceparent` in its headers."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from artcafe_client import Ack, ArtcafeError, Client, Subscription
from artcafe_common.cli import output
from artcafe_common.cli.exit_codes import ExitCode, Failure

TRACE_HEADER = "traceparent"
Step = dict[str, Any]


class Target(NamedTuple):
    """Where the message goes."""

    name: str
    is_channel: bool

    @classmethod
    def named(cls, name: str, *, is_channel: bool) -> Self:
        """A channel, or a subject; without a name, a subject that nobody else uses."""
        if is_channel and not name:
            raise Failure("--channel needs a channel's id", ExitCode.USAGE)
        return cls(name or f"trace.{secrets.token_hex(4)}", is_channel)

    def subscribe(self, client: Client, **place: int) -> Subscription:
        """Subscribe as a client."""
        if self.is_channel:
            return client.channel(self.name).subscribe(**place)  # type: ignore[arg-type]
        return client.subscribe(self.name)

    async def publish(self, client: Client, data: Any, headers: dict[str, str]) -> Ack:
        """Publish as a client."""
        if self.is_channel:
            return await client.channel(self.name).publish(data, headers=headers)
        return await client.publish(self.name, data, headers=headers)


class Connect(Protocol):
    """Makes a client that is not connected yet. Failure if the transport's address is not known."""

    def __call__(self, *, over_nats: bool) -> Client: ...


class Tracer:
    """Publishes one message, and finds it again by its trace."""

    def __init__(self, target: Target, payload: bytes, timeout_s: float) -> None:
        self._target = target
        self._payload = payload
        self._timeout_s = timeout_s
        self.trace_id = secrets.token_hex(16)
        # Sampled, so that programs that continue the trace record it (https://www.w3.org/TR/trace-context/).
        self._traceparent = f"00-{self.trace_id}-{secrets.token_hex(8)}-01"
        self._sent_at = 0.0

    async def run(self, connect: Connect, *, over_nats: bool) -> list[Step]:
        """Publish over one transport, and receive over both, if both can be reached."""
        async with AsyncExitStack() as resources:
            publisher = await resources.enter_async_context(connect(over_nats=over_nats))
            listeners = [publisher]
            try:
                other = connect(over_nats=not over_nats)
                listeners.append(await resources.enter_async_context(other))
            except (Failure, ArtcafeError) as error:
                output.print_notice(f"not followed over {'websocket' if over_nats else 'nats'}: {error}")
            subscriptions = [await self._target.subscribe(each) for each in listeners]
            waiting = [
                asyncio.create_task(self._deliver(client.transport, subscription))
                for client, subscription in zip(listeners, subscriptions, strict=True)
            ]
            steps = [await self._publish(publisher)]
            seq = steps[0].pop("seq", None)
            if seq is not None:
                steps.append(await self._stored(publisher, seq))
            return [*steps, *[await each for each in waiting]]

    async def _publish(self, client: Client) -> Step:
        self._sent_at = time.perf_counter()
        ack = await self._target.publish(
            client, msgspec.Raw(self._payload), {TRACE_HEADER: self._traceparent}
        )
        where = f"on {self._target.name}"
        detail = where if ack.seq is None else f"{where}, seq {ack.seq}"
        return {**self._step("published", client.transport, detail), "seq": ack.seq}

    async def _stored(self, client: Client, seq: int) -> Step:
        """Read the message back from the channel's history."""
        async with self._target.subscribe(client, resume_from=seq - 1) as history:
            return await self._find("stored", client.transport, history)

    async def _deliver(self, transport: str, subscription: Subscription) -> Step:
        return await self._find("delivered", transport, subscription)

    async def _find(self, step: str, transport: str, subscription: Subscription) -> Step:
        """Wait for the message with this trace."""
        try:
            async with asyncio.timeout(self._timeout_s):
                async for message in subscription:
                    if message.headers.get(TRACE_HEADER) == self._traceparent:
                        sender = f" from {message.sender}" if message.sender else ""
                        return self._step(step, transport, f"at {message.timestamp.isoformat()}{sender}")
        except TimeoutError:
            pass
        return {"step": step, "transport": transport, "after_ms": None, "detail": "no sign of it"}

    def _step(self, step: str, transport: str, detail: str) -> Step:
        after_ms = round((time.perf_counter() - self._sent_at) * 1000, 2)
        return {"step": step, "transport": transport, "after_ms": after_ms, "detail": detail}
