"""What clients tell the platform: it is in their connections' counters, but it is no traffic.

The stream does not keep the header that names the connection (the broker takes it out), so a
message is taken off its tenant, which nobody can forge, and off the client that it names.
"""

from datetime import datetime

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import Error as JetStreamError

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.ingest import INGEST_STREAM, INGEST_SUBJECT, parse_ingest_subject

DURABLE = "metering"
BATCH = 500
MAX_BATCHES = 40
FETCH_S = 0.05
# Short, for it delays the correction after an instance was killed; coming twice does no harm.
ACK_WAIT_S = 3
_HEADER_FRAME = len("NATS/1.0\r\n\r\n")
_HEADER_LINE = len(": \r\n")

log = structlog.get_logger()


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the ingest stream: its sequence, and what it adds to its connection's counters."""

    sequence: int
    tenant_id: str
    client_id: str
    size: int


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """What was fetched and is still to be acknowledged; `stream` is new when the stream is."""

    stream: str
    messages: list[Msg]
    ingested: list[Ingested]

    async def acknowledge(self) -> None:
        """Say that all of it was applied."""
        try:
            for message in self.messages:
                await message.ack()
        except (nats.errors.Error, OSError) as error:
            raise ServiceUnavailable("the broker is not available") from error


class IngestReader:
    """The durable consumer of the ingest stream; instances share it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._js = bus.nc.jetstream(timeout=2)
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._created: datetime | None = None

    async def open(self) -> None:
        """Have the stream made, so that from here on nothing is missed."""
        try:
            await self._subscribe()
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the ingest stream is not available") from error

    async def drain(self) -> Drained:
        """All that waits in the stream now; ServiceUnavailable when it cannot be read."""
        messages: list[Msg] = []
        try:
            subscription = self._subscription or await self._subscribe()
            for _ in range(MAX_BATCHES):
                some = await _fetch(subscription)
                messages += some
                if len(some) < BATCH:
                    break
            # Sequences count from one again in a stream that was made anew. A consumer without
            # a stream is silent, so this is asked in any case.
            created = (await self._js.stream_info(INGEST_STREAM)).created
            if created != self._created:
                await self.close()
                raise ServiceUnavailable("the ingest stream was made anew")
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            await self.close()
            raise ServiceUnavailable("the ingest stream is not available") from error
        return Drained(
            stream=f"{self._created:%Y%m%dT%H%M%S.%f}",
            messages=messages,
            ingested=[one for message in messages if (one := _ingested(message)) is not None],
        )

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        info = await self._js.add_stream(
            StreamConfig(
                name=INGEST_STREAM,
                subjects=[INGEST_SUBJECT],
                storage=StorageType.FILE,  # what was said must outlast the broker, as counters are billed
                max_age=600,
                max_bytes=64 * 1024 * 1024,
                discard=DiscardPolicy.OLD,
                no_ack=True,
            )
        )
        await self._js.add_consumer(
            INGEST_STREAM,
            ConsumerConfig(
                durable_name=DURABLE,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=BATCH * MAX_BATCHES,
            ),
        )
        self._created = info.created
        self._subscription = await self._js.pull_subscribe_bind(
            DURABLE, INGEST_STREAM, inbox_prefix=self._bus.inbox_prefix
        )
        return self._subscription

    async def close(self) -> None:
        """Leave the consumer to others; what was fetched but not acknowledged comes to them."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except (nats.errors.Error, OSError, ValueError):
                log.debug("ingest_subscription_was_gone")


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(BATCH, timeout=FETCH_S)
    except (nats.errors.TimeoutError, TimeoutError):
        return []


def _ingested(message: Msg) -> Ingested | None:
    arrival = parse_ingest_subject(message.subject)
    if arrival is None:
        return None
    return Ingested(
        sequence=message.metadata.sequence.stream,
        tenant_id=arrival.tenant_id,
        client_id=arrival.client_id if ULID_PATTERN.match(arrival.client_id) else "",
        size=len(message.data) + header_size(message.headers),
    )


def header_size(headers: dict[str, str] | None) -> int:
    """The bytes of a message's headers on the wire, which the broker counts with the payload."""
    if not headers:
        return 0
    lines = sum(len(name.encode()) + len(value.encode()) + _HEADER_LINE for name, value in headers.items())
    return _HEADER_FRAME + lines
