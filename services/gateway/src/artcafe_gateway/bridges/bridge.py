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
from nats.aio.subscription import Subscription

from artcafe_common.broker.claims import Credentials
from artcafe_common.broker.nkeys import KeyKind, create
from artcafe_common.bus.caller import Caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity import IssueBridgeCredentials
from artcafe_common.contracts.metering import BridgeReport, UsageEntry
from artcafe_gateway.bridges.connection import BridgeConnection, header_block
from artcafe_gateway.bridges.counters import Line
from artcafe_gateway.bridges.token_bucket import QuotaExceeded, RateLimited, TokenBucket
from artcafe_gateway.delivery.fanout import Audience, NaiveAudience, Route
from artcafe_gateway.settings import Settings

CONNECT_TIMEOUT_S = 3
FLUSH_TIMEOUT_S = 5
ASK_TIMEOUT_S = 3
# Each holds a page of what is kept: many who resume at once wait for each other.
ASKING_AT_ONCE = 16
FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 2.0
R = TypeVar("R", bound=Route)
log = structlog.get_logger()


class BrokerUnavailable(CommandError):
    """The tenant's connection to the broker is down; nothing was published."""

    status = 503
    code = "broker_unavailable"
    title = "The message broker is not available"


class NoResponders(CommandError):
    """Nobody listens where a request was sent."""

    status = 503
    code = "no_responders"
    title = "Nobody answers this subject"


class RequestTimeout(CommandError):
    """No reply in the time that was given."""

    status = 504
    code = "timeout"
    title = "No reply in time"


class PayloadTooLarge(CommandError):
    """More than the broker takes."""

    status = 413
    code = "payload_too_large"
    title = "The message is too large"


class Bridge:
    """A tenant's connection; use it between `acquire` and `release` of `Bridges`."""

    def __init__(self, *, tenant_id: str, bus: Bus, settings: Settings) -> None:
        self.tenant_id = tenant_id
        self.bucket = TokenBucket(settings.publish_rate)
        # When the month ends whose messages are used up, in Unix seconds; 0 while there are some left.
        self.spent_until = 0.0
        self.users = 0
        self.idle_since = time.monotonic()
        self._bus = bus
        self._settings = settings
        self._audience = NaiveAudience if settings.fanout == "naive" else Audience
        self._line: Line | None = None
        self._routes: dict[str, Route] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._waiting: list[Callable[[CommandError | None], None]] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._asking = asyncio.Semaphore(ASKING_AT_ONCE)
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
            caller=Caller.service("gateway"),
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
                error_cb=self._problem,
                closed_cb=partial(self._lost, nc),
            )
            await self._resubscribe(nc)
        except BaseException:
            # A second connection beside the one that replaces it would deliver everything twice.
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await nc.close()
            raise

    async def _resubscribe(self, nc: BridgeConnection) -> None:
        routes = dict(self._routes)
        for subject, route in routes.items():
            await nc.attach(subject, route)
        await nc.flush(FLUSH_TIMEOUT_S)
        for subject, route in routes.items():
            route.confirmed = self._routes.get(subject) is route
        self._line = Line(nc)
        # What was asked for, or given back, meanwhile.
        for subject, route in self._routes.items() - routes.items():
            await nc.attach(subject, route)
        for _, route in routes.items() - self._routes.items():
            await nc.detach(route)
        for route in routes.values():
            route.restored()

    async def _problem(self, error: Exception) -> None:
        log.warning("bridge_problem", tenant_id=self.tenant_id, reason=repr(error))

    async def _lost(self, nc: BridgeConnection) -> None:
        if self._line is None or self._line.nc is not nc:
            return
        self._line = None
        for route in self._routes.values():
            route.confirmed = False
        if not self._closed and self._reviving is None:
            self._reviving = asyncio.create_task(self._revive())

    async def _revive(self) -> None:
        pause = FIRST_PAUSE_S
        try:
            while not self._closed and self._line is None:
                try:
                    await self._connect()
                except (CommandError, nats.errors.Error, OSError, TimeoutError) as error:
                    log.warning("bridge_reconnects", tenant_id=self.tenant_id, reason=repr(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, MAX_PAUSE_S)
        finally:
            self._reviving = None

    async def close(self) -> None:
        """Leave the broker."""
        self._closed = True
        if self._reviving is not None:
            self._reviving.cancel()
        line, self._line = self._line, None
        if line is not None:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await line.nc.close()

    @property
    def connected(self) -> bool:
        """Whether a message could be published now."""
        return self._line is not None and self._line.nc.is_connected

    def _live(self) -> Line:
        line = self._line
        if line is None or not line.nc.is_connected:
            raise BrokerUnavailable
        return line

    # -- publishing ----------------------------------------------------------------------------

    def _admit(self) -> None:
        if self.spent_until:
            left = self.spent_until - time.time()
            if left > 0:
                raise QuotaExceeded(retry_after_s=math.ceil(left))
            self.spent_until = 0.0
        self.bucket.take()

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
        self._admit()
        line = self._live()
        try:
            line.nc.send(subject, headers, payload, reply)
        except nats.errors.MaxPayloadError as error:
            raise PayloadTooLarge from error
        except nats.errors.OutboundBufferLimitError as error:
            # The broker takes less than is published: it slows who outruns it.
            raise RateLimited(retry_after_s=1) from error
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error
        line.count(client_id, channel_id, payload, headers)

    async def request(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout_s: float, client_id: str
    ) -> Msg:
        """The reply to a request; NoResponders, RequestTimeout or BrokerUnavailable."""
        line = self._live()
        try:
            self._admit()
            line.count(client_id, "", payload, header_block(headers))
            return await line.nc.request(subject, payload, timeout=timeout_s, headers=headers)
        except nats.errors.NoRespondersError as error:
            raise NoResponders from error
        except (nats.errors.TimeoutError, TimeoutError) as error:
            raise RequestTimeout from error
        except nats.errors.MaxPayloadError as error:
            raise PayloadTooLarge from error
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error

    async def ask(self, subject: str, question: bytes, *, ends: Callable[[Msg], bool]) -> list[Msg]:
        """What the broker's streams answer to a question, up to the message that ends it."""
        answers: list[Msg] = []
        async with self._asking:
            line = self._live()
            inbox = line.nc.new_inbox()
            async with self.listening(inbox) as subscription:
                line.ask(question)
                await line.nc.publish(subject, question, reply=inbox)
                while not answers or not ends(answers[-1]):
                    answers.append(await subscription.next_msg(timeout=ASK_TIMEOUT_S))
        return answers

    @asynccontextmanager
    async def listening(self, inbox: str) -> AsyncIterator[Subscription]:
        """Hear what comes on a subject that is nobody's, for a moment."""
        line = self._live()
        try:
            subscription = await line.nc.subscribe(inbox)
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
        line = self._live()
        try:
            await line.nc.flush(FLUSH_TIMEOUT_S)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error

    def when_flushed(self, told: Callable[[CommandError | None], None]) -> None:
        """Call `told` once the broker has everything published before, or with why it has not."""
        if not self._waiting:
            task = asyncio.get_running_loop().create_task(self._tell())
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        self._waiting.append(told)

    async def _tell(self) -> None:
        # All that ask in this turn are served by one round trip.
        await asyncio.sleep(0)
        waiting, self._waiting = self._waiting, []
        problem: CommandError | None = None
        try:
            await self.flush()
        except CommandError as error:
            problem = error
        for told in waiting:
            told(problem)

    # -- subscribing ---------------------------------------------------------------------------

    async def hold(self, subject: str, make: type[R]) -> R:
        """The route of a raw subject, subscribed if need be; give it back with `drop`."""
        route = self._routes.get(subject)
        if route is None:
            route = self._routes[subject] = make(self.tenant_id, self._audience)
            if self._line is not None:
                try:
                    await self._line.nc.attach(subject, route)
                except (nats.errors.Error, OSError) as error:
                    log.warning("subscription_waits", tenant_id=self.tenant_id, reason=repr(error))
        route.users += 1
        return cast("R", route)

    async def confirm(self, route: Route) -> None:
        """Return once the broker is known to have the subscription; BrokerUnavailable otherwise."""
        while not route.confirmed:
            line = self._live()
            await self.flush()
            route.confirmed = self._line is line

    async def drop(self, subject: str) -> None:
        """Give a route back; the last one out ends the NATS subscription."""
        route = self._routes.get(subject)
        if route is None:
            return
        route.users -= 1
        if route.users:
            return
        del self._routes[subject]
        if self._line is not None:
            with suppress(nats.errors.Error, OSError):
                await self._line.nc.detach(route)

    @property
    def subjects(self) -> int:
        """How many NATS subscriptions it holds."""
        return len(self._routes)

    # -- counts --------------------------------------------------------------------------------

    async def collect(self) -> tuple[list[UsageEntry], BridgeReport | None]:
        """What the broker has confirmed since the last time, and the connection's new total."""
        line = self._line
        if line is None or not (line.unconfirmed or line.questions):
            return [], None
        line.questions = 0
        taken, line.unconfirmed = line.unconfirmed, {}
        try:
            await line.nc.flush(FLUSH_TIMEOUT_S)
        except (nats.errors.Error, OSError, TimeoutError):
            # The connection is broken: its end makes the broker tell what it took.
            return [], None
        entries = []
        for (client_id, channel_id), (messages, size, wire) in taken.items():
            line.messages += messages
            line.bytes_in += wire
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
            server=line.server,
            cid=line.cid,
            messages=line.messages,
            bytes_in=line.bytes_in,
        )
        return entries, report
