"""Messages that wait until the key of a sender has been looked up, in the order in which they arrived."""

import asyncio
from collections import deque
from collections.abc import Callable

from artcafe_gateway.delivery.client_signatures import ClientSignature, ClientSignatureVerifier
from artcafe_gateway.delivery.message import BrokerMessage

MAX_MESSAGES = 1000
MAX_BYTES = 1024 * 1024


class HeldMessages:
    """The messages of one broker subscription from the first one on whose sender is being looked up.

    Lookups run at the same time, each for half a second at most, and messages are delivered in order. Messages above
    the bounds, and all of them at `release`, are delivered without the sender that is not known yet.
    """

    __slots__ = ("_clients", "_deliver", "_lookups", "_messages", "_size")

    def __init__(self, clients: ClientSignatureVerifier, deliver: Callable[[BrokerMessage], None]) -> None:
        self._clients = clients
        self._deliver = deliver
        self._messages: deque[BrokerMessage] = deque()
        self._size = 0
        self._lookups: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: BrokerMessage) -> None:
        """Hold a message until those before it are delivered, and its sender is known."""
        self._messages.append(message)
        self._size += message.payload_size
        if message.signature is not None:
            lookup = asyncio.create_task(self._look_up(message, message.signature))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._lookups.discard)
        if len(self._messages) > MAX_MESSAGES or self._size > MAX_BYTES:
            self.release()

    def release(self) -> None:
        """Deliver everything now."""
        for message in self._messages:
            message.settle(self._clients)
        self._deliver_settled()

    async def _look_up(self, message: BrokerMessage, signature: ClientSignature) -> None:
        try:
            await self._clients.load(signature)
        finally:
            message.settle(self._clients)
            self._deliver_settled()

    def _deliver_settled(self) -> None:
        while self._messages and self._messages[0].signature is None:
            message = self._messages.popleft()
            self._size -= message.payload_size
            self._deliver(message)
