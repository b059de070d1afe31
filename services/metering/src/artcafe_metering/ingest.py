"""The ingest stream: heartbeats and metrics, which the broker counts but which are not billed.

The broker removes the header that identifies the connection before it stores a message. So a message
is subtracted from its tenant, which cannot be forged, and from the client named in its subject.
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
FETCH_TIMEOUT_S = 0.05
# Short, because after a crash it delays the correction; a redelivery is harmless.
ACK_WAIT_S = 3
_HEADER_FRAME = len("NATS/1.0\r\n\r\n")
_HEADER_LINE = len(": \r\n")

log = structlog.get_logger()


class IngestMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the ingest stream; `size` is its bytes in the connection's traffic totals."""

    sequence: int
    tenant_id: str
    client_id: str
    size: int


class IngestBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Fetched messages that are not acknowledged yet; `stream` identifies this creation of the stream."""

    stream: str
    messages: list[Msg]
    ingested: list[IngestMessage]

    async def acknowledge(self) -> None:
        """Acknowledge all messages."""
        try:
            for message in self.messages:
                await message.ack()
        except (nats.errors.Error, OSError) as error:
            raise ServiceUnavailable("the broker is not available") from error


class IngestReader:
    """The durable consumer of the ingest stream, shared by all instances."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._js = bus.nc.jetstream(timeout=2)
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._created: datetime | None = None

    async def open(self) -> None:
        """Create the stream and the consumer, so that every message from now on is stored."""
        try:
            await self._subscribe()
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the ingest stream is not available") from error

    async def fetch_pending(self) -> IngestBatch:
        """Fetch the pending messages; raises ServiceUnavailable when the stream cannot be read."""
        messages: list[Msg] = []
        try:
            subscription = self._subscription or await self._subscribe()
            for _ in range(MAX_BATCHES):
                fetched = await _fetch(subscription)
                messages += fetched
                if len(fetched) < BATCH:
                    break
            # A recreated stream starts its sequences at one again. The subscription to a deleted
            # consumer reports no error, so the creation time is checked on every call.
            created = (await self._js.stream_info(INGEST_STREAM)).created
            if created != self._created:
                await self.close()
                raise ServiceUnavailable("the ingest stream was recreated")
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            await self.close()
            raise ServiceUnavailable("the ingest stream is not available") from error
        return IngestBatch(
            stream=f"{self._created:%Y%m%dT%H%M%S.%f}",
            messages=messages,
            ingested=[each for message in messages if (each := _parse_message(message)) is not None],
        )

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        info = await self._js.add_stream(
            StreamConfig(
                name=INGEST_STREAM,
                subjects=[INGEST_SUBJECT],
                storage=StorageType.FILE,  # must survive a broker restart, as the counters do
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
        """Unsubscribe; unacknowledged messages are redelivered to other instances."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except (nats.errors.Error, OSError, ValueError):
                log.debug("ingest_subscription_already_closed")


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await subscription.fetch(BATCH, timeout=FETCH_TIMEOUT_S)
    except (nats.errors.TimeoutError, TimeoutError):
        return []


def _parse_message(message: Msg) -> IngestMessage | None:
    arrival = parse_ingest_subject(message.subject)
    if arrival is None:
        return None
    return IngestMessage(
        sequence=message.metadata.sequence.stream,
        tenant_id=arrival.tenant_id,
        client_id=arrival.client_id if ULID_PATTERN.match(arrival.client_id) else "",
        size=len(message.data) + header_size(message.headers),
    )


def header_size(headers: dict[str, str] | None) -> int:
    """The size of a message's headers on the wire; the broker counts it with the payload."""
    if not headers:
        return 0
    lines = sum(len(name.encode()) + len(value.encode()) + _HEADER_LINE for name, value in headers.items())
    return _HEADER_FRAME + lines
