"""The gateway's NATS connection into one tenant's account, shared by the tenant's sockets.

The broker isolates accounts, so a bridge never receives messages of another tenant.

A broken connection is replaced rather than resumed: unconfirmed writes are not repeated, so that the
broker's own count of the old connection stays exact (docs/internals/architecture.md, Metering).
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from artcafe_common.bus.client import Bus
from artcafe_common.contracts.metering import BridgeReport, UsageEntry
from artcafe_gateway.bridges.connection import encode_headers
from artcafe_gateway.bridges.connector import FLUSH_TIMEOUT_S, BridgeConnector, BridgeState
from artcafe_gateway.bridges.flushing import FlushCoalescer, OnFlushed
from artcafe_gateway.bridges.subscriptions import BridgeSubscriptions
from artcafe_gateway.bridges.token_bucket import TokenBucket
from artcafe_gateway.delivery.fanout import BrokerSubscription, NaiveRenderGroup, RenderGroup
from artcafe_gateway.errors import (
    BrokerUnavailable,
    NoResponders,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
)
from artcafe_gateway.settings import Settings

STREAM_REQUEST_TIMEOUT_S = 3
# Each request buffers a page of stored messages, so this bounds the memory of concurrent recoveries.
MAX_CONCURRENT_STREAM_REQUESTS = 16
S = TypeVar("S", bound=BrokerSubscription)


class Bridge:
    """A tenant's NATS connection; `BridgePool` opens and closes it.

    While the month's messages are used up, `quota_exhausted_until` is the end of the month in Unix
    seconds; otherwise 0.
    """

    def __init__(self, *, tenant_id: str, bus: Bus, settings: Settings) -> None:
        self.tenant_id = tenant_id
        self.publish_bucket = TokenBucket(settings.publish_rate)
        self.quota_exhausted_until = 0.0
        self.reference_count = 0
        self.idle_since = time.monotonic()
        group_type = NaiveRenderGroup if settings.fanout == "naive" else RenderGroup
        self._subscriptions = BridgeSubscriptions(tenant_id, group_type)
        self._connector = BridgeConnector(
            tenant_id=tenant_id, bus=bus, settings=settings, subscriptions=self._subscriptions
        )
        self._flushes = FlushCoalescer(self._connector.flush)
        self._stream_request_slots = asyncio.Semaphore(MAX_CONCURRENT_STREAM_REQUESTS)

    async def open(self) -> None:
        """Connects for the first time; CommandError."""
        await self._connector.open()

    async def close(self) -> None:
        """Disconnects, and does not reconnect. Idempotent."""
        await self._connector.close()

    @property
    def state(self) -> BridgeState:
        """The state of the connection."""
        return self._connector.state

    # -- publishing ----------------------------------------------------------------------------

    def _check_limits(self) -> None:
        if self.quota_exhausted_until:
            remaining_s = self.quota_exhausted_until - time.time()
            if remaining_s > 0:
                raise QuotaExceeded(retry_after_s=math.ceil(remaining_s))
            self.quota_exhausted_until = 0.0
        self.publish_bucket.consume()

    def publish(
        self,
        subject: str,
        payload: bytes,
        headers: bytes,
        *,
        client_id: str = "",
        channel_id: str = "",
        reply: str = "",
    ) -> None:
        """Writes a message to the connection; after `flush` the broker has it. CommandError."""
        self._check_limits()
        connection = self._connector.require_connection()
        try:
            connection.publish_nowait(subject, headers, payload, reply)
        except nats.errors.MaxPayloadError as error:
            raise PayloadTooLarge from error
        except nats.errors.OutboundBufferLimitError as error:
            # The broker reads more slowly than the tenant publishes.
            raise RateLimited(retry_after_s=1) from error
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error
        connection.counters.record_publish(client_id, channel_id, payload, headers)

    async def request(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout_s: float, client_id: str
    ) -> Msg:
        """Returns the reply to a request; NoResponders, RequestTimeout, other CommandErrors as `publish`."""
        connection = self._connector.require_connection()
        try:
            self._check_limits()
            connection.counters.record_publish(client_id, "", payload, encode_headers(headers))
            return await connection.request(subject, payload, timeout=timeout_s, headers=headers)
        except nats.errors.NoRespondersError as error:
            raise NoResponders from error
        except (nats.errors.TimeoutError, TimeoutError) as error:
            raise RequestTimeout from error
        except nats.errors.MaxPayloadError as error:
            raise PayloadTooLarge from error
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error

    async def stream_request(
        self, subject: str, payload: bytes, *, is_last: Callable[[Msg], bool]
    ) -> list[Msg]:
        """Returns the replies to a JetStream API request, up to the one that `is_last`; BrokerUnavailable."""
        replies: list[Msg] = []
        async with self._stream_request_slots:
            connection = self._connector.require_connection()
            inbox = connection.new_inbox()
            async with self.temporary_subscription(inbox) as subscription:
                connection.counters.record_stream_request(payload)
                await connection.publish(subject, payload, reply=inbox)
                while not replies or not is_last(replies[-1]):
                    replies.append(await subscription.next_msg(timeout=STREAM_REQUEST_TIMEOUT_S))
        return replies

    @asynccontextmanager
    async def temporary_subscription(self, inbox: str) -> AsyncIterator[NatsSubscription]:
        """Subscribes to an inbox while the context is entered; BrokerUnavailable."""
        connection = self._connector.require_connection()
        try:
            subscription = await connection.subscribe(inbox)
            try:
                yield subscription
            finally:
                await subscription.unsubscribe()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error

    async def flush(self) -> None:
        """Returns once the broker has everything published before the call; BrokerUnavailable."""
        await self._flushes.flush()

    def call_when_flushed(self, on_flushed: OnFlushed) -> None:
        """Calls `on_flushed` once the broker has everything published before, or with the error."""
        self._flushes.call_when_flushed(on_flushed)

    # -- subscribing ---------------------------------------------------------------------------

    async def acquire_subscription(self, subject: str, subscription_type: type[S]) -> S:
        """Returns the subscription of a NATS subject, created if necessary; release it after use."""
        return await self._subscriptions.acquire(subject, subscription_type, self._connector.connection)

    async def confirm_subscription(self, subscription: BrokerSubscription) -> None:
        """Returns once the broker has the subscription; BrokerUnavailable."""
        while not subscription.confirmed:
            connection = self._connector.require_connection()
            await self.flush()
            subscription.confirmed = self._connector.connection is connection

    async def release_subscription(self, subject: str) -> None:
        """Releases a subscription, and unsubscribes it with its last user."""
        await self._subscriptions.release(subject, self._connector.connection)

    @property
    def subscription_count(self) -> int:
        """The number of NATS subscriptions."""
        return len(self._subscriptions)

    # -- usage ---------------------------------------------------------------------------------

    async def collect_usage(self) -> tuple[list[UsageEntry], BridgeReport | None]:
        """Returns what the broker has confirmed since the last call, and the connection's new total."""
        connection = self._connector.connection
        if connection is None or not connection.counters.changed:
            return [], None
        counters = connection.counters
        unconfirmed = counters.take_unconfirmed()
        try:
            await connection.flush(FLUSH_TIMEOUT_S)
        except (nats.errors.Error, OSError, TimeoutError):
            # The connection is broken; the broker reports what it received when it ends.
            return [], None
        counters.confirm(unconfirmed)
        entries = [
            UsageEntry(
                tenant_id=self.tenant_id,
                client_id=client_id,
                channel_id=channel_id,
                messages=messages,
                bytes_in=payload_bytes,
            )
            for (client_id, channel_id), (messages, payload_bytes, _) in unconfirmed.items()
        ]
        report = BridgeReport(
            tenant_id=self.tenant_id,
            server=connection.server_id,
            cid=connection.client_id or 0,
            messages=counters.confirmed_messages,
            bytes_in=counters.confirmed_bytes_in,
        )
        return entries, report
