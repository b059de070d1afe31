"""The gateway's NATS connection into one tenant's account, shared by the tenant's sockets.

The broker isolates accounts, so a bridge never receives messages of another tenant.

A broken connection is replaced rather than resumed: unconfirmed writes are not repeated, so that the
broker's own count of the old connection stays exact (docs/internals/architecture.md, Metering).
"""

import asyncio
import math
import time

import nats.errors

from artcafe_common.bus.client import Bus
from artcafe_common.contracts.identity.accounts import AccountKind
from artcafe_common.contracts.metering import BridgeReport, UsageEntry
from artcafe_common.key_ring import KeyRing
from artcafe_common.token_bucket import TokenBucket
from artcafe_gateway.bridges.account_connection import AccountConnection
from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.bridges.connector import FLUSH_TIMEOUT_S
from artcafe_gateway.bridges.publish_command import PublishCommand
from artcafe_gateway.bridges.replies import Reply
from artcafe_gateway.bridges.tenant_streams import TenantStreams
from artcafe_gateway.delivery.client_keys import ClientKeys
from artcafe_gateway.delivery.client_signatures import ClientSignatureVerifier
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.errors import (
    BrokerUnavailable,
    NoResponders,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
)
from artcafe_gateway.settings import Settings


class Bridge(AccountConnection):
    """A tenant's NATS connection; `BridgePool` opens and closes it, and its second one, `streams`.

    While the month's messages are used up, `quota_exhausted_until` is the end of the month in Unix
    seconds; otherwise 0.
    """

    def __init__(
        self,
        *,
        tenant_id: str,
        bus: Bus,
        settings: Settings,
        signing_keys: KeyRing,
        client_keys: ClientKeys | None = None,
    ) -> None:
        clients = None
        if client_keys is not None:
            clients = ClientSignatureVerifier(tenant_id, client_keys, settings.signature_rate)
        self.signer = MessageSigner(signing_keys, tenant_id, bus.tracer, clients)
        super().__init__(
            AccountKind.CLIENTS, tenant_id=tenant_id, bus=bus, settings=settings, signer=self.signer
        )
        self._bus = bus
        self._settings = settings
        self._streams: TenantStreams | None = None
        self.publish_bucket = TokenBucket(settings.publish_rate)
        self.quota_exhausted_until = 0.0
        self.reference_count = 0
        self.idle_since = time.monotonic()

    @property
    def streams(self) -> TenantStreams:
        """The tenant's streams; made on first use, because most tenants use none."""
        if self._streams is None:
            self._streams = TenantStreams(
                tenant_id=self.tenant_id, bus=self._bus, settings=self._settings, signer=self.signer
            )
        return self._streams

    @property
    def open_connections(self) -> list[BridgeConnection]:
        """The open connections, to the clients' account and to the streams'."""
        accounts = (self, self._streams)
        return [each.connection for each in accounts if each is not None and each.connection is not None]

    async def close(self) -> None:
        """Disconnects, and does not reconnect. Idempotent."""
        await self.streams.close()
        await super().close()

    # -- publishing ----------------------------------------------------------------------------

    def _check_limits(self) -> None:
        if self.quota_exhausted_until:
            remaining_s = self.quota_exhausted_until - time.time()
            if remaining_s > 0:
                raise QuotaExceeded(retry_after_s=math.ceil(remaining_s))
            self.quota_exhausted_until = 0.0
        if not self.publish_bucket.try_consume():
            raise RateLimited(retry_after_s=1)

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
        connection = self._write(subject, payload, headers, reply)
        connection.counters.record_publish((client_id, channel_id), len(payload), len(headers))

    def publish_with(self, command: PublishCommand, payload: bytes) -> None:
        """As `publish`, for a message without headers of its own."""
        self._check_limits()
        size = len(payload)
        connection = self._write_command(command.render(payload), size, command.header_size)
        connection.counters.record_publish(command.key, size, command.header_size)

    def store_again(self, subject: str, payload: bytes, headers: bytes, *, reply: str) -> None:
        """Publishes a message to the streams alone: subscribers have received it before. CommandError."""
        self._check_limits()
        self.streams.publish(subject, payload, headers, reply=reply)

    async def request(
        self, subject: str, payload: bytes, headers: bytes, *, timeout_s: float, client_id: str
    ) -> Reply:
        """Returns the reply to a request; NoResponders, RequestTimeout, other CommandErrors as `publish`."""
        connection = self._connector.require_connection()
        try:
            async with asyncio.timeout(timeout_s), connection.replies.open() as (reply_subject, replies):
                self.publish(subject, payload, headers, client_id=client_id, reply=reply_subject)
                reply = await replies.get()
        except TimeoutError as error:
            raise RequestTimeout from error
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error
        if reply.is_no_responders:
            raise NoResponders
        return reply

    # -- usage ---------------------------------------------------------------------------------

    @property
    def has_usage(self) -> bool:
        """Whether anything was published since `collect_usage`."""
        connection = self._connector.connection
        return connection is not None and connection.counters.changed

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
