"""The NATS subscription of one member of a queue group."""

from artcafe_gateway.delivery.fanout import (
    BrokerSubscription,
    FormatSubject,
    GroupFactory,
    GroupKey,
    Render,
    Subscriber,
    Wrap,
)
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.wire.text_frames import text_frame

MAX_WAITING_BYTES = 4 * 1024 * 1024


class MemberSubscription(BrokerSubscription):
    """A subscription whose messages no other member of the group receives.

    The broker may choose the member before its socket is told that it is subscribed: such messages wait for the
    subscriber, up to `MAX_WAITING_BYTES`.
    """

    __slots__ = ("_waiting", "_waiting_bytes")

    def __init__(self, signer: MessageSigner, group_type: GroupFactory) -> None:
        super().__init__(signer, group_type)
        self._waiting: list[BrokerMessage] = []
        self._waiting_bytes = 0

    def dispatch(self, message: BrokerMessage) -> None:
        """Passes a message to the subscriber, or keeps it until there is one."""
        if self._groups:
            super().dispatch(message)
        elif self._waiting_bytes + message.payload_size <= MAX_WAITING_BYTES:
            self._waiting.append(message)
            self._waiting_bytes += message.payload_size

    def add_subscriber(
        self,
        key: GroupKey,
        subscriber: Subscriber,
        format_subject: FormatSubject,
        render: Render,
        wrap: Wrap = text_frame,
    ) -> None:
        """Delivers the messages that wait, and all further ones."""
        super().add_subscriber(key, subscriber, format_subject, render, wrap)
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for message in waiting:
            super().dispatch(message)
