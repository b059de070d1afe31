"""The gateway's one connection into a tenant's NATS account, shared by all of its sockets there.

The broker keeps tenants apart: nothing published or heard here can belong to another one.

A connection that breaks is not revived but replaced: what was written to it and not confirmed
is not written again, so that the broker's own count of it stays the truth (ARCHITECTURE,
metering).
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar, cast

import nats.errors
import structlog
from nats.aio.client import RawCredentials
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription

from artcafe_common.broker.claims import Credentials
from artcafe_common.broker.nkeys import KeyKind, create
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_common.contracts.metering import BridgeReport, UsageEntry
from artcafe_gateway.bridges.connection import BridgeConnection, encode_headers
from artcafe_gateway.bridges.counters import ConnectionCounters
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

CONNECT_TIMEOUT_S = 3
FLUSH_TIMEOUT_S = 5
STREAM_REQUEST_TIMEOUT_S = 3
# Each holds a page of what is kept: many who resume at once wait for each other.
MAX_CONCURRENT_STREAM_REQUESTS = 16
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 2.0
R = TypeVar("R", bound=BrokerSubscription)
log = structlog.get_logger()


class Bridge:
    """A tenant's connection; use it between `acquire` and `release` of `Bridges`."""

    def __init__(self, *, tenant_id: str, bus: Bus, settings: Settings) -> None:
        self.tenant_id = tenant_id
        self.publish_bucket = TokenBucket(settings.publish_rate)
        # When the month ends whose messages are used up, in Unix seconds; 0 while there are some left.
        self.quota_exhausted_until = 0.0
        self.reference_count = 0
        self.idle_since = time.monotonic()
        self._bus = bus
        self._settings = settings
        self._group_type = NaiveRenderGroup if settings.fanout == "naive" else RenderGroup
        self._counters: ConnectionCounters | None = None
        self._subscriptions: dict[str, BrokerSubscription] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._flush_callbacks: list[Callable[[CommandError | None], None]] = []
        self._notifying: set[asyncio.Task[None]] = set()
        self._stream_requests = asyncio.Semaphore(MAX_CONCURRENT_STREAM_REQUESTS)
        self._closed = False

    # -- the connection ------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect for the first time; CommandError when that cannot be done now."""
        try:
            await self._connect()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error

    async def _connect(self) -> None:
        pair = create(KeyKind.USER)
        issued = await self._bus.call(
            IssueBridgeCredentials(
                tenant_id=self.tenant_id, nkey_public=pair.public, server_id=self._settings.server_id
            ),
            caller=CallerContext.service("gateway"),
        )
        nc = BridgeConnection()
        try:
            await nc.connect(
                servers=self._settings.nats_url.split(","),
                user_credentials=RawCredentials(Credentials(jwt=issued.jwt, seed=pair.seed).render()),
                name=f"gateway {self._settings.server_id}",
                allow_reconnect=False,
                connect_timeout=CONNECT_TIMEOUT_S,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=self._on_error,
                closed_cb=partial(self._on_closed, nc),
            )
            await self._resubscribe(nc)
        except BaseException:
            # A second connection beside the one that replaces it would deliver everything twice.
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await nc.close()
            raise

    async def _resubscribe(self, nc: BridgeConnection) -> None:
        subscriptions = dict(self._subscriptions)
        for subject, subscription in subscriptions.items():
            await nc.attach(subject, subscription)
        await nc.flush(FLUSH_TIMEOUT_S)
        for subject, subscription in subscriptions.items():
            subscription.confirmed = self._subscriptions.get(subject) is subscription
        self._counters = ConnectionCounters(nc)
        # What was asked for, or given back, meanwhile.
        for subject, subscription in self._subscriptions.items() - subscriptions.items():
            await nc.attach(subject, subscription)
        for _, subscription in subscriptions.items() - self._subscriptions.items():
            await nc.detach(subscription)
        for subscription in subscriptions.values():
            subscription.on_resubscribed()

    async def _on_error(self, error: Exception) -> None:
        log.warning("bridge_problem", tenant_id=self.tenant_id, reason=repr(error))

    async def _on_closed(self, nc: BridgeConnection) -> None:
        if self._counters is None or self._counters.nc is not nc:
            return
        self._counters = None
        for subscription in self._subscriptions.values():
            subscription.confirmed = False
        if not self._closed and self._reconnecting is None:
            self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        pause = FIRST_PAUSE_S
        try:
            while not self._closed and self._counters is None:
                try:
                    await self._connect()
                except (CommandError, nats.errors.Error, OSError, TimeoutError) as error:
                    log.warning("bridge_reconnects", tenant_id=self.tenant_id, reason=repr(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, MAX_PAUSE_S)
        finally:
            self._reconnecting = None

    async def close(self) -> None:
        """Leave the broker."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        counters, self._counters = self._counters, None
        if counters is not None:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await counters.nc.close()

    @property
    def connected(self) -> bool:
        """Whether a message could be published now."""
        return self._counters is not None and self._counters.nc.is_connected

    def _require_connection(self) -> ConnectionCounters:
        counters = self._counters
        if counters is None or not counters.nc.is_connected:
            raise BrokerUnavailable
        return counters

    # -- publishing ----------------------------------------------------------------------------

    def _check_limits(self) -> None:
        if self.quota_exhausted_until:
            left = self.quota_exhausted_until - time.time()
            if left > 0:
                raise QuotaExceeded(retry_after_s=math.ceil(left))
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
        """Hand a message to the connection; `flush` tells when the broker has it."""
        self._check_limits()
        counters = self._require_connection()
        try:
            counters.nc.publish_nowait(subject, headers, payload, reply)
        except nats.errors.MaxPayloadError as error:
            raise PayloadTooLarge from error
        except nats.errors.OutboundBufferLimitError as error:
            # The broker takes less than is published: it slows who outruns it.
            raise RateLimited(retry_after_s=1) from error
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error
        counters.record_publish(client_id, channel_id, payload, headers)

    async def request(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout_s: float, client_id: str
    ) -> Msg:
        """The reply to a request; NoResponders, RequestTimeout or BrokerUnavailable."""
        counters = self._require_connection()
        try:
            self._check_limits()
            counters.record_publish(client_id, "", payload, encode_headers(headers))
            return await counters.nc.request(subject, payload, timeout=timeout_s, headers=headers)
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
        """What the broker's streams answer to a payload, up to the message that ends it."""
        answers: list[Msg] = []
        async with self._stream_requests:
            counters = self._require_connection()
            inbox = counters.nc.new_inbox()
            async with self.temporary_subscription(inbox) as subscription:
                counters.record_stream_request(payload)
                await counters.nc.publish(subject, payload, reply=inbox)
                while not answers or not is_last(answers[-1]):
                    answers.append(await subscription.next_msg(timeout=STREAM_REQUEST_TIMEOUT_S))
        return answers

    @asynccontextmanager
    async def temporary_subscription(self, inbox: str) -> AsyncIterator[NatsSubscription]:
        """Hear what comes on a subject that is nobody's, for a moment."""
        counters = self._require_connection()
        try:
            subscription = await counters.nc.subscribe(inbox)
            try:
                yield subscription
            finally:
                await subscription.unsubscribe()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error

    async def flush(self) -> None:
        """Return once the broker has everything published before; many callers share one round trip."""
        if self._next_flush is None:
            self._next_flush = asyncio.create_task(self._flush_after(self._flushing))
        await asyncio.shield(self._next_flush)

    async def _flush_after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await asyncio.wait({running})
        # From here on a caller needs another flush: what it published may come too late for this one.
        self._flushing, self._next_flush = self._next_flush, None
        counters = self._require_connection()
        try:
            await counters.nc.flush(FLUSH_TIMEOUT_S)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error

    def call_when_flushed(self, on_flushed: Callable[[CommandError | None], None]) -> None:
        """Call `on_flushed` once the broker has everything published before, or with why it has not."""
        if not self._flush_callbacks:
            task = asyncio.get_running_loop().create_task(self._notify_flushed())
            self._notifying.add(task)
            task.add_done_callback(self._notifying.discard)
        self._flush_callbacks.append(on_flushed)

    async def _notify_flushed(self) -> None:
        # All that ask in this turn are served by one round trip.
        await asyncio.sleep(0)
        callbacks, self._flush_callbacks = self._flush_callbacks, []
        problem: CommandError | None = None
        try:
            await self.flush()
        except CommandError as error:
            problem = error
        for on_flushed in callbacks:
            on_flushed(problem)

    # -- subscribing ---------------------------------------------------------------------------

    async def acquire_subscription(self, subject: str, subscription_type: type[R]) -> R:
        """The subscription of a raw subject, subscribed if need be; give it back with `drop`."""
        subscription = self._subscriptions.get(subject)
        if subscription is None:
            subscription = self._subscriptions[subject] = subscription_type(self.tenant_id, self._group_type)
            if self._counters is not None:
                try:
                    await self._counters.nc.attach(subject, subscription)
                except (nats.errors.Error, OSError) as error:
                    log.warning("subscription_waits", tenant_id=self.tenant_id, reason=repr(error))
        subscription.reference_count += 1
        return cast("R", subscription)

    async def confirm_subscription(self, subscription: BrokerSubscription) -> None:
        """Return once the broker is known to have the subscription; BrokerUnavailable otherwise."""
        while not subscription.confirmed:
            counters = self._require_connection()
            await self.flush()
            subscription.confirmed = self._counters is counters

    async def release_subscription(self, subject: str) -> None:
        """Give a subscription back; the last one out ends the NATS subscription."""
        subscription = self._subscriptions.get(subject)
        if subscription is None:
            return
        subscription.reference_count -= 1
        if subscription.reference_count:
            return
        del self._subscriptions[subject]
        if self._counters is not None:
            with suppress(nats.errors.Error, OSError):
                await self._counters.nc.detach(subscription)

    @property
    def subscription_count(self) -> int:
        """How many NATS subscriptions it holds."""
        return len(self._subscriptions)

    # -- counts --------------------------------------------------------------------------------

    async def collect_usage(self) -> tuple[list[UsageEntry], BridgeReport | None]:
        """What the broker has confirmed since the last time, and the connection's new total."""
        counters = self._counters
        if counters is None or not (counters.unconfirmed or counters.stream_requests):
            return [], None
        counters.stream_requests = 0
        unconfirmed, counters.unconfirmed = counters.unconfirmed, {}
        try:
            await counters.nc.flush(FLUSH_TIMEOUT_S)
        except (nats.errors.Error, OSError, TimeoutError):
            # The connection is broken: its end makes the broker tell what it took.
            return [], None
        entries = []
        for (client_id, channel_id), (messages, size, wire) in unconfirmed.items():
            counters.confirmed_messages += messages
            counters.confirmed_bytes_in += wire
            entries.append(
                UsageEntry(
                    tenant_id=self.tenant_id,
                    client_id=client_id,
                    channel_id=channel_id,
                    messages=messages,
                    bytes_in=size,
                )
            )
        report = BridgeReport(
            tenant_id=self.tenant_id,
            server=counters.server,
            cid=counters.cid,
            messages=counters.confirmed_messages,
            bytes_in=counters.confirmed_bytes_in,
        )
        return entries, report
