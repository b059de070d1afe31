"""The messages with a unique id that the broker has received from one bridge: they only need storing, if anything."""

import msgspec
from cachetools import TTLCache

from artcafe_gateway.delivery.message import GATEWAY_ID_PREFIX
from artcafe_gateway.history.acks import Ack

# Less than the time in which a stream stores no second message with an id.
PERIOD_S = 110
MAX_IDS = 5000


class PublishedIds:
    """Unique ids of messages that subscribers have received; each for less than the stream's duplicate window."""

    def __init__(self) -> None:
        self._ids: TTLCache[str, None] = TTLCache(MAX_IDS, PERIOD_S)

    def __contains__(self, unique_id: object) -> bool:
        return unique_id in self._ids

    def record(self, unique_id: str) -> None:
        """The broker has a message. Its period begins only once; nobody repeats an id that a gateway chose."""
        if not unique_id.startswith(GATEWAY_ID_PREFIX):
            self._ids.setdefault(unique_id)

    def record_ack(self, unique_id: str, ack: Ack | None) -> Ack | None:
        """The stream has answered a message that was published for the first time here; returns the publisher's answer."""
        if ack is None:
            return None
        if unique_id.startswith(GATEWAY_ID_PREFIX):
            # Only the gateway itself repeats it.
            return msgspec.structs.replace(ack, duplicate=False)
        if ack.duplicate:
            # The stream's window began earlier, when another gateway published it.
            self._ids.pop(unique_id, None)
        else:
            self.record(unique_id)
        return ack
