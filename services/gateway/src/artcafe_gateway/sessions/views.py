"""What dashboards look at: channels, the flow of everything, who comes and goes."""

import random
from typing import Protocol

import msgspec

from artcafe_common.broker.subjects import SubjectForm, matches, to_form
from artcafe_common.contracts.presence import PresenceUpdate
from artcafe_gateway.delivery.fanout import BrokerSubscription, DeliveryCounts
from artcafe_gateway.delivery.message import BrokerMessage, channel_message_frame, preview_frame
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.socket import Socket
from artcafe_gateway.wire.transport import text_frame

# A preview drops rather than queue more than this: it is a look, not a feed.
PREVIEW_BACKLOG = 256 * 1024


class DashboardView(Protocol):
    """Something that a dashboard looks at."""

    subjects: tuple[str, ...]

    def begin(self) -> None:
        """Show from now on."""

    def end(self) -> None:
        """Show no more."""


class ChannelView:
    """A channel's messages, for one dashboard."""

    def __init__(self, socket: Socket, channel_id: str, subject: str, route: BrokerSubscription) -> None:
        self.send_queue = socket.send_queue
        self.subjects: tuple[str, ...] = (subject,)
        self._channel_id = channel_id
        self._key = ("channel", channel_id)
        self._route = route

    def begin(self) -> None:
        """Show from now on."""
        self._route.add_subscriber(self._key, self, lambda _: self._channel_id, channel_message_frame)

    def end(self) -> None:
        """Show no more."""
        self._route.remove_subscriber(self._key, self)

    def on_delivered(self, counts: DeliveryCounts) -> None:
        """Looking on is not counted."""

    def on_request(self, reply: str) -> None:
        """A dashboard answers nothing."""


class TopicPreviewView:
    """What flows in the tenant, for one dashboard: a share of it, and never more than it can read."""

    def __init__(
        self, socket: Socket, tenant_id: str, routes: dict[str, BrokerSubscription], sample: float
    ) -> None:
        self.subjects = tuple(routes)
        self._socket = socket
        self._tenant_id = tenant_id
        self._routes = routes
        self._sample = sample
        self._dropped = 0

    def begin(self) -> None:
        """Show from now on."""
        for route in self._routes.values():
            route.listeners[self] = None

    def end(self) -> None:
        """Show no more."""
        for route in self._routes.values():
            route.listeners.pop(self, None)

    def deliver(self, delivery: BrokerMessage) -> None:
        """Show the message, or count it as dropped."""
        if _is_notice(self._tenant_id, delivery.subject):
            return
        if self._sample < 1 and random.random() >= self._sample:
            return
        if self._socket.send_queue.backlog > PREVIEW_BACKLOG:
            self._dropped += 1
            return
        subject = to_form(self._tenant_id, delivery.subject, SubjectForm.SHORT)
        self._socket.send_queue.push(text_frame(preview_frame(delivery, subject, self._dropped)))
        self._dropped = 0


class PresenceView:
    """Clients that come and go, for one dashboard."""

    def __init__(self, socket: Socket, subject: str, route: BrokerSubscription) -> None:
        self.subjects: tuple[str, ...] = (subject,)
        self._socket = socket
        self._route = route

    def begin(self) -> None:
        """Show from now on."""
        self._route.listeners[self] = None

    def end(self) -> None:
        """Show no more."""
        self._route.listeners.pop(self, None)

    def deliver(self, delivery: BrokerMessage) -> None:
        """Show the change."""
        try:
            notice = msgspec.json.decode(delivery.data, type=PresenceUpdate)
        except msgspec.DecodeError:
            return
        self._socket.send(
            frames.PresenceShown(client_id=notice.client_id, status=notice.status, last_seen=notice.last_seen)
        )


def _is_notice(tenant_id: str, subject: str) -> bool:
    # Presence has a frame of its own.
    return matches(f"tenant.{tenant_id}.presence.*", subject)
