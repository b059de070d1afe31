"""The NATS subscriptions of one bridge, across its connections."""

from contextlib import suppress
from typing import TypeVar, cast

import nats.errors
import structlog

from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from artcafe_gateway.delivery.signatures import MessageSigner

S = TypeVar("S", bound=BrokerSubscription)
log = structlog.get_logger()


class BridgeSubscriptions:
    """Reference-counted subscriptions by NATS subject; each new connection gets all of them."""

    def __init__(self, signer: MessageSigner, group_type: type[RenderGroup]) -> None:
        self._signer = signer
        self._group_type = group_type
        self._by_subject: dict[str, BrokerSubscription] = {}

    def __len__(self) -> int:
        return len(self._by_subject)

    async def acquire(
        self, subject: str, subscription_type: type[S], connection: BridgeConnection | None
    ) -> S:
        """Returns the subscription of a subject; a new one is attached to the connection, if there is one."""
        subscription = self._by_subject.get(subject)
        if subscription is not None:
            subscription.reference_count += 1
            return cast("S", subscription)
        created = self._by_subject[subject] = subscription_type(self._signer, self._group_type)
        # Before it is attached: others may acquire and release it meanwhile.
        created.reference_count = 1
        if connection is not None:
            try:
                await connection.attach(subject, created)
            except (nats.errors.Error, OSError) as error:
                # The next connection attaches it.
                log.warning("subscription_deferred", tenant_id=self._signer.tenant_id, reason=repr(error))
            except BaseException:
                await self.release(subject, connection)
                raise
        return created

    async def release(self, subject: str, connection: BridgeConnection | None) -> None:
        """Drops one reference; the last one unsubscribes."""
        subscription = self._by_subject.get(subject)
        if subscription is None:
            return
        subscription.reference_count -= 1
        if subscription.reference_count:
            return
        del self._by_subject[subject]
        subscription.on_released()
        if connection is not None:
            with suppress(nats.errors.Error, OSError):
                await connection.detach(subscription)

    async def attach_all(self, connection: BridgeConnection, timeout_s: int) -> dict[str, BrokerSubscription]:
        """Attaches every subscription to a new connection, and returns those once the broker has them."""
        attached = dict(self._by_subject)
        for subject, subscription in attached.items():
            await connection.attach(subject, subscription)
        await connection.flush(timeout_s)
        for subject, subscription in attached.items():
            subscription.confirmed = self._by_subject.get(subject) is subscription
        return attached

    async def attach_changes(
        self, connection: BridgeConnection, attached: dict[str, BrokerSubscription]
    ) -> None:
        """Attaches and detaches what was acquired and released during `attach_all`."""
        for subject, subscription in self._by_subject.items() - attached.items():
            await connection.attach(subject, subscription)
        for _, subscription in attached.items() - self._by_subject.items():
            await connection.detach(subscription)
        for subscription in attached.values():
            subscription.on_resubscribed()

    def end(self) -> None:
        """The connection is not opened again."""
        for subscription in self._by_subject.values():
            subscription.on_released()

    def mark_unconfirmed(self) -> None:
        """The connection broke: the broker has none of the subscriptions."""
        for subscription in self._by_subject.values():
            subscription.confirmed = False
