"""A gateway's NATS connection into one account of a tenant, with subscriptions that its users share."""

from contextlib import suppress
from typing import TypeVar

import nats.errors

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountKind
from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.bridges.connector import BridgeConnector, BridgeState
from artcafe_gateway.bridges.flushing import FlushCoalescer, OnFlushed
from artcafe_gateway.bridges.subscriptions import BridgeSubscriptions, QueueMember
from artcafe_gateway.delivery.fanout import BrokerSubscription, NaiveRenderGroup, RenderGroup
from artcafe_gateway.delivery.message import MAX_PAYLOAD_BYTES
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.errors import BrokerUnavailable, PayloadTooLarge, RateLimited
from artcafe_gateway.settings import Settings

S = TypeVar("S", bound=BrokerSubscription)


class AccountConnection:
    """Opens, reconnects and closes one connection; its subscriptions outlive each single connection."""

    def __init__(
        self, account: AccountKind, *, tenant_id: str, bus: Bus, settings: Settings, signer: MessageSigner
    ) -> None:
        self.tenant_id = tenant_id
        group_type = NaiveRenderGroup if settings.fanout == "naive" else RenderGroup
        self._subscriptions = BridgeSubscriptions(signer, group_type)
        self._connector = BridgeConnector(
            account, tenant_id=tenant_id, bus=bus, settings=settings, subscriptions=self._subscriptions
        )
        self._flushes = FlushCoalescer(self._connector.flush)

    async def open(self) -> None:
        """Connects for the first time; CommandError."""
        await self._connector.open()

    async def close(self) -> None:
        """Disconnects, and does not reconnect. Idempotent."""
        self._subscriptions.end()
        await self._connector.close()

    @property
    def connection(self) -> BridgeConnection | None:
        """The open connection; None while there is none."""
        return self._connector.connection

    @property
    def state(self) -> BridgeState:
        """The state of the connection."""
        return self._connector.state

    async def flush(self) -> None:
        """Returns once the broker has everything published before the call; BrokerUnavailable."""
        await self._flushes.flush()

    async def acquire_subscription(
        self, subject: str, subscription_type: type[S], member: QueueMember | None = None
    ) -> S:
        """Returns the subscription of a NATS subject, created if necessary; release it after use."""
        key = (subject, member)
        return await self._subscriptions.acquire(key, subscription_type, self._connector.connection)

    async def confirm_subscription(self, subscription: BrokerSubscription) -> None:
        """Returns once the broker has the subscription; BrokerUnavailable."""
        while not subscription.confirmed:
            connection = self._connector.require_connection()
            await self.flush()
            subscription.confirmed = self._connector.connection is connection

    async def acquire_confirmed(self, subject: str, subscription_type: type[S]) -> S:
        """As `acquire_subscription`, once the broker has the subscription; leaves none behind if it fails."""
        subscription = await self.acquire_subscription(subject, subscription_type)
        try:
            await self.confirm_subscription(subscription)
        except BaseException:
            await self.release_subscription(subject)
            raise
        return subscription

    async def release_subscription(self, subject: str, member: QueueMember | None = None) -> None:
        """Releases a subscription, and unsubscribes it with its last user."""
        await self._subscriptions.release((subject, member), self._connector.connection)

    async def leave_groups(self, members: list[BrokerSubscription]) -> None:
        """Ends memberships of queue groups, and returns once the messages for which they were chosen have arrived.

        The subscriptions are released afterwards.
        """
        connection = self._connector.connection
        if connection is None or not members:
            return
        with suppress(nats.errors.Error, OSError, CommandError):
            for member in members:
                await connection.unsubscribe(member)
            await self.flush()

    def call_when_flushed(self, on_flushed: OnFlushed) -> None:
        """Calls `on_flushed` once the broker has everything published before, or with the error."""
        self._flushes.call_when_flushed(on_flushed)

    def _write(self, subject: str, payload: bytes, headers: bytes, reply: str) -> BridgeConnection:
        """Writes a message to the connection, which it returns; after `flush` the broker has it. CommandError."""
        address = f"{subject} {reply}" if reply else subject
        size = len(headers) + len(payload)
        command = b"HPUB %b %d %d\r\n%b%b\r\n" % (address.encode(), len(headers), size, headers, payload)
        return self._write_command(command, len(payload), len(headers))

    def _write_command(self, command: bytes, payload_size: int, header_size: int) -> BridgeConnection:
        """As `_write`, for a whole command."""
        if payload_size > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge
        connection = self._connector.require_connection()
        try:
            connection.enqueue(command, payload_size + header_size)
        except nats.errors.MaxPayloadError as error:
            raise PayloadTooLarge from error
        except nats.errors.OutboundBufferLimitError as error:
            # The broker reads more slowly than the tenant publishes.
            raise RateLimited(retry_after_s=1) from error
        except (nats.errors.Error, OSError) as error:
            raise BrokerUnavailable from error
        return connection

    @property
    def subscription_count(self) -> int:
        """The number of NATS subscriptions."""
        return len(self._subscriptions)

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be sent to the broker."""
        connection = self._connector.connection
        return 0 if connection is None else connection.pending_data_size

    def _require_open(self) -> None:
        if self.state is BridgeState.CLOSED:
            raise BrokerUnavailable
