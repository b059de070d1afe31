"""The gateway's NATS connection into the account of one tenant's streams.

No client and no key of the tenant enters this account, so what arrives here comes from the platform's streams.
"""

import asyncio
from collections.abc import Callable

import nats.errors

from artcafe_common.bus.client import Bus
from artcafe_common.contracts.identity.accounts import AccountKind
from artcafe_gateway.bridges.account_connection import AccountConnection, S
from artcafe_gateway.bridges.connector import BridgeState
from artcafe_gateway.bridges.replies import Reply
from artcafe_gateway.bridges.subscriptions import QueueMember
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.errors import BrokerUnavailable
from artcafe_gateway.settings import Settings

REQUEST_TIMEOUT_S = 3
# Each request buffers a page of stored messages, so this bounds the memory of concurrent recoveries.
MAX_CONCURRENT_REQUESTS = 16


class TenantStreams(AccountConnection):
    """Reads a tenant's streams, and receives their acknowledgements; opened when it is first used."""

    def __init__(self, *, tenant_id: str, bus: Bus, settings: Settings, signer: MessageSigner) -> None:
        super().__init__(AccountKind.STREAMS, tenant_id=tenant_id, bus=bus, settings=settings, signer=signer)
        self._request_slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connects unless that is done; CommandError."""
        self._require_open()
        if self.state is not BridgeState.CONNECTING:
            return
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(super().open())
        await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Disconnects, and does not reconnect. Idempotent."""
        if self._opening is not None:
            self._opening.cancel()
        await super().close()

    async def acquire_subscription(
        self, subject: str, subscription_type: type[S], member: QueueMember | None = None
    ) -> S:
        """Returns the subscription of a NATS subject, created if necessary; release it after use. CommandError."""
        await self.open()
        return await super().acquire_subscription(subject, subscription_type, member)

    def publish(self, subject: str, payload: bytes, headers: bytes, *, reply: str) -> None:
        """Writes a message that the streams store and no client receives. CommandError."""
        self._write(subject, payload, headers, reply)

    async def request(self, subject: str, payload: bytes, *, is_last: Callable[[Reply], bool]) -> list[Reply]:
        """Returns the replies to a JetStream API request, up to the one that `is_last`; CommandError."""
        await self.open()
        replies: list[Reply] = []
        async with self._request_slots:
            connection = self._connector.require_connection()
            try:
                async with connection.replies.open() as (reply_subject, queue):
                    await connection.publish(subject, payload, reply=reply_subject)
                    while not replies or not is_last(replies[-1]):
                        replies.append(await asyncio.wait_for(queue.get(), REQUEST_TIMEOUT_S))
            except (nats.errors.Error, OSError, TimeoutError) as error:
                raise BrokerUnavailable from error
        return replies
