"""The NATS subscriptions of one bridge, across its connections."""

from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar, cast

import nats.errors
import structlog

from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.delivery.turn_flushes import TurnFlushes

S = TypeVar("S", bound=BrokerSubscription)
log = structlog.get_logger()


class QueueMember(NamedTuple):
    """A member of a queue group, which has a subscription of its own: the broker chooses among subscriptions."""

    queue: str
    owner: object


# A subject has one subscription, which its users share, and one for each member of a queue group.
SubscriptionKey = tuple[str, QueueMember | None]


class BridgeSubscriptions:
    """Reference-counted subscriptions by NATS subject; each new connection gets all of them."""

    def __init__(self, signer: MessageSigner, group_type: type[RenderGroup]) -> None:
        self._signer = signer
        self._group_type = partial(group_type, flushes=TurnFlushes())
        self._by_key: dict[SubscriptionKey, BrokerSubscription] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    async def acquire(
        self, key: SubscriptionKey, subscription_type: type[S], connection: BridgeConnection | None
    ) -> S:
        """Returns the subscription of a subject; a new one is attached to the connection, if there is one."""
        subscription = self._by_key.get(key)
        if subscription is not None:
            subscription.reference_count += 1
            return cast("S", subscription)
        created = self._by_key[key] = subscription_type(self._signer, self._group_type)
        # Before it is attached: others may acquire and release it meanwhile.
        created.reference_count = 1
        if connection is not None:
            try:
                await _attach(connection, key, created)
            except (nats.errors.Error, OSError) as error:
                # The next connection attaches it.
                log.warning("subscription_deferred", tenant_id=self._signer.tenant_id, reason=repr(error))
            except BaseException:
                await self.release(key, connection)
                raise
        return created

    async def release(self, key: SubscriptionKey, connection: BridgeConnection | None) -> None:
        """Drops one reference; the last one unsubscribes."""
        subscription = self._by_key.get(key)
        if subscription is None:
            return
        subscription.reference_count -= 1
        if subscription.reference_count:
            return
        del self._by_key[key]
        subscription.on_released()
        if connection is not None:
            with suppress(nats.errors.Error, OSError):
                await connection.detach(subscription)

    async def attach_all(
        self, connection: BridgeConnection, timeout_s: int
    ) -> dict[SubscriptionKey, BrokerSubscription]:
        """Attaches every subscription to a new connection, and returns those once the broker has them."""
        attached = dict(self._by_key)
        for key, subscription in attached.items():
            await _attach(connection, key, subscription)
        await connection.flush(timeout_s)
        for key, subscription in attached.items():
            subscription.confirmed = self._by_key.get(key) is subscription
        return attached

    async def attach_changes(
        self, connection: BridgeConnection, attached: dict[SubscriptionKey, BrokerSubscription]
    ) -> None:
        """Attaches and detaches what was acquired and released during `attach_all`."""
        for key, subscription in self._by_key.items() - attached.items():
            await _attach(connection, key, subscription)
        for _, subscription in attached.items() - self._by_key.items():
            await connection.detach(subscription)
        for subscription in attached.values():
            subscription.on_resubscribed()

    def end(self) -> None:
        """The connection is not opened again."""
        for subscription in self._by_key.values():
            subscription.on_released()

    def mark_unconfirmed(self) -> None:
        """The connection broke: the broker has none of the subscriptions."""
        for subscription in self._by_key.values():
            subscription.confirmed = False


async def _attach(
    connection: BridgeConnection, key: SubscriptionKey, subscription: BrokerSubscription
) -> None:
    subject, member = key
    await connection.attach(subject, subscription, member.queue if member is not None else "")
