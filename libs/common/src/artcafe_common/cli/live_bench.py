"""What `artcafe bench` measures, between two connections of a client of the SDK."""

import asyncio
import itertools
import secrets
import statistics
import time
from typing import Any, Self

import msgspec

from artcafe_client import Client, ServerError, Subscription
from artcafe_client.error_codes import NoResponders
from artcafe_common.cli.exit_codes import ExitCode, Failure

# Messages whose latency is measured one by one, and requests.
MAX_PACED = 500
MAX_REQUESTS = 100
DELIVERY_TIMEOUT_S = 10.0
RESPONDER_TIMEOUT_S = 10.0
RETRY_S = 0.1
TOO_MANY_REQUESTS = 429
QUOTA_EXCEEDED = "quota_exceeded"
_MS = 1000.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent where."""

    name: str
    is_channel: bool
    messages: int
    size: int
    window: int
    rate: int

    def checked(self) -> Self:
        """With the name of a subject that nobody else uses, if none is given. Failure if a channel is missing."""
        if self.is_channel and not self.name:
            raise Failure("--channel needs a channel's id", ExitCode.USAGE)
        return msgspec.structs.replace(self, name=self.name or f"bench.{secrets.token_hex(4)}")

    @property
    def paced(self) -> int:
        """The number of messages whose latency is measured."""
        return min(self.messages, MAX_PACED)

    @property
    def requests(self) -> int:
        """The number of requests; a channel is for messages only."""
        return 0 if self.is_channel else min(self.messages, MAX_REQUESTS)

    @property
    def total(self) -> int:
        """All messages, with the answers to requests."""
        return self.messages + self.paced + 2 * self.requests + (2 if self.requests else 0)


class Result(msgspec.Struct, kw_only=True):
    """What was measured; latencies in seconds, each list in the order of publishing."""

    transport: str
    acknowledged_per_s: float = 0.0
    delivered_per_s: float = 0.0
    lost: int = 0
    doubled: int = 0
    held_up: int = 0
    latencies: dict[str, list[float]] = {}

    @property
    def is_incomplete(self) -> bool:
        """Whether a message was lost or doubled."""
        return bool(self.lost or self.doubled)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The latencies for people, in milliseconds."""
        return [
            {"measure": f"{name}, ms", **{key: f"{value:.2f}" for key, value in _percentiles(values).items()}}
            for name, values in self.latencies.items()
            if values
        ]

    @property
    def fields(self) -> dict[str, Any]:
        """The rates for people."""
        return {
            "transport": self.transport,
            "acknowledged": f"{self.acknowledged_per_s:,.0f} messages/s",
            "delivered": f"{self.delivered_per_s:,.0f} messages/s",
            "lost, doubled": f"{self.lost}, {self.doubled}",
            "refused and published again": self.held_up,
        }

    @property
    def document(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "transport": self.transport,
            "acknowledged_per_s": round(self.acknowledged_per_s, 1),
            "delivered_per_s": round(self.delivered_per_s, 1),
            "lost": self.lost,
            "doubled": self.doubled,
            "held_up": self.held_up,
            "latencies_ms": {
                name: {key: round(value, 3) for key, value in _percentiles(values).items()}
                for name, values in self.latencies.items()
                if values
            },
        }


async def measure(publisher: Client, subscriber: Client, plan: Plan) -> Result:
    """Publish with one client, receive with the other. Raises the errors of the SDK."""
    async with subscriber, publisher:
        run = _Run(publisher, subscriber, plan)
        subscription = await run.subscribe()
        await run.measure_rates(subscription)
        await run.measure_latencies(subscription)
        if plan.requests:
            await run.measure_requests()
        return run.result


class _Run:
    def __init__(self, publisher: Client, subscriber: Client, plan: Plan) -> None:
        self.result = Result(transport=publisher.transport)
        self._publisher = publisher
        self._subscriber = subscriber
        self._plan = plan
        # Tells the messages of this run from those of others on the same subject.
        self._run_id = secrets.token_hex(4)

    async def subscribe(self) -> Subscription:
        plan = self._plan
        if plan.is_channel:
            return await self._subscriber.channel(plan.name).subscribe()
        return await self._subscriber.subscribe(plan.name, max_pending=plan.total)

    async def measure_rates(self, subscription: Subscription) -> None:
        count, numbers = self._plan.messages, itertools.count()
        began = time.perf_counter()

        async def publish() -> None:
            while (number := next(numbers)) < count:
                await self._publish("rate", number)

        receiving = asyncio.create_task(self._receive(subscription, "rate", count))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._plan.window):
                    tasks.create_task(publish())
        except* ServerError as errors:
            receiving.cancel()
            raise errors.exceptions[0] from None
        self.result.acknowledged_per_s = count / (time.perf_counter() - began)
        arrived = await receiving
        if arrived:
            self.result.delivered_per_s = len(arrived) / (max(arrived.values()) - began)

    async def measure_latencies(self, subscription: Subscription) -> None:
        count, sent, acknowledged = self._plan.paced, [], []
        receiving = asyncio.create_task(self._receive(subscription, "latency", count))
        began = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / self._plan.rate - time.perf_counter()))
            sent.append(time.perf_counter())
            await self._publish("latency", number)
            acknowledged.append(time.perf_counter() - sent[-1])
        arrived = await receiving
        self.result.latencies["acknowledgement"] = acknowledged
        self.result.latencies["delivery"] = [arrived[each] - sent[each] for each in sorted(arrived)]

    async def measure_requests(self) -> None:
        subject, durations = f"{self._plan.name}.request", []

        async def answer(message: Any) -> Any:
            return message.data

        self._subscriber.respond(subject)(answer)
        await self._first_answer(subject)
        for number in range(self._plan.requests):
            began = time.perf_counter()
            await self._publisher.request(subject, number)
            durations.append(time.perf_counter() - began)
        self.result.latencies["request"] = durations

    async def _first_answer(self, subject: str) -> None:
        """Return when requests are answered: `respond` does not wait for the server's confirmation."""
        for _ in range(int(RESPONDER_TIMEOUT_S / RETRY_S)):
            try:
                await self._publisher.request(subject, 0)
            except NoResponders:
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _publish(self, phase: str, number: int) -> None:
        data = {"run": self._run_id, "phase": phase, "n": number, "pad": ""}
        data["pad"] = "x" * max(0, self._plan.size - len(msgspec.json.encode(data)))
        while True:
            try:
                if self._plan.is_channel:
                    await self._publisher.channel(self._plan.name).publish(data)
                else:
                    await self._publisher.publish(self._plan.name, data)
            except ServerError as error:
                if error.status != TOO_MANY_REQUESTS or error.code == QUOTA_EXCEEDED:
                    raise
                self.result.held_up += 1
                await asyncio.sleep(error.retry_after_s or RETRY_S)
            else:
                return

    async def _receive(self, subscription: Subscription, phase: str, count: int) -> dict[int, float]:
        """When each message of a phase arrived; ends with the last one, or when none arrives for a while."""
        arrived: dict[int, float] = {}
        while len(arrived) < count:
            try:
                message = await subscription.next(DELIVERY_TIMEOUT_S)
            except (TimeoutError, StopAsyncIteration):
                self.result.lost += count - len(arrived)
                break
            data = message.data
            if not isinstance(data, dict) or (data.get("run"), data.get("phase")) != (self._run_id, phase):
                continue
            if data["n"] in arrived:
                self.result.doubled += 1
            else:
                arrived[data["n"]] = time.perf_counter()
        return arrived


def _percentiles(values: list[float]) -> dict[str, float]:
    """In milliseconds."""
    if len(values) == 1:
        values = values * 2
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {
        "p50": cuts[49] * _MS,
        "p95": cuts[94] * _MS,
        "p99": cuts[98] * _MS,
        "max": max(values) * _MS,
    }
