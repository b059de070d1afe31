"""The reply subjects of the messages that a socket received."""

import time
from collections import OrderedDict
from collections.abc import Callable

from artcafe_gateway.delivery.message import BrokerMessage, is_inbox, is_private_inbox

MAX_REPLY_SUBJECTS = 1000
MAX_REPLIES = 100
REPLY_PERIOD_S = 5 * 60


class ReplySubjects:
    """The subjects on which one client may answer requests that it received, for a bounded time and number.

    A requester chooses its reply subject, and nobody can tell a direct publisher's own messages from those of another.
    So a client may answer only on inboxes on which it could publish over direct NATS as well; and its own messages, as
    far as they are known, count only for the inboxes of gateways, where its own requests over another socket wait for
    their replies.
    """

    def __init__(self, client_id: str, may_publish: Callable[[str], bool]) -> None:
        self._client_id = client_id
        self._may_publish = may_publish
        # By reply subject: when the period ends, and how many replies remain.
        self._open: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, message: BrokerMessage) -> None:
        """Record a message's reply subject; the oldest of more than 1000 is dropped."""
        reply = message.reply
        if reply is None or (message.sender == self._client_id and not is_private_inbox(reply)):
            return
        self._open[reply] = (time.monotonic() + REPLY_PERIOD_S, MAX_REPLIES)
        self._open.move_to_end(reply)
        if len(self._open) > MAX_REPLY_SUBJECTS:
            self._open.popitem(last=False)

    def __contains__(self, subject: object) -> bool:
        """Whether a message that the client received lately names this reply subject."""
        found = self._open.get(str(subject))
        return found is not None and found[0] > time.monotonic()

    def __len__(self) -> int:
        return len(self._open)

    def take(self, subject: str) -> bool:
        """Whether the client may publish on a subject because it answers a request; uses up one reply."""
        if not self._open or not is_inbox(subject) or not self._may_publish(subject):
            return False
        ends_at, remaining = self._open.get(subject, (0.0, 0))
        if not remaining or ends_at <= time.monotonic():
            self._open.pop(subject, None)
            return False
        self._open[subject] = (ends_at, remaining - 1)
        return True
