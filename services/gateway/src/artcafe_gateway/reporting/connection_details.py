"""What the gateways know of a client's connections, collected from all processes on request."""

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from artcafe_common.bus.client import Bus
from artcafe_common.bus.request_many import reply_to_requests, request_many
from artcafe_common.contracts.gateway import (
    ConnectionDetailsReply,
    ConnectionDetailsRequested,
    SentError,
    SocketDetails,
)
from artcafe_common.contracts.presence import ClientKind
from artcafe_gateway.wire.send_queue import BufferedConnection

MAX_SUBSCRIPTIONS = 100
# So that a reply fits into one message of the bus.
MAX_SOCKETS_PER_REPLY = 50
QUIET_S = 0.02
REPLY_TIMEOUT_S = 1.0


class InspectedSocket(BufferedConnection, Protocol):
    """What the details need of a connection."""

    connection_id: str

    @property
    def last_received_at(self) -> float:
        """When the peer sent something last, in monotonic time."""

    @property
    def recent_errors(self) -> Sequence[SentError]:
        """The last errors that were sent to the peer, oldest first."""


class InspectedSession(Protocol):
    """What the details need of a session."""

    @property
    def socket(self) -> InspectedSocket:
        """Its connection."""

    @property
    def subscribed_names(self) -> Sequence[str]:
        """The names that it subscribes to, as its peer spells them."""


class Sessions(Protocol):
    """The open sessions of this process."""

    def of_owner(self, tenant_id: str, owner: str) -> Iterable[InspectedSession]:
        """The sessions of one owner."""


class ConnectionDetailsCollector:
    """Replies with the details of this process's sockets, and collects those of all processes."""

    def __init__(self, *, bus: Bus, instance: str, sessions: Sessions) -> None:
        self._bus = bus
        self._instance = instance
        self._sessions = sessions

    async def subscribe(self) -> None:
        """Replies to the requests of all processes."""
        await reply_to_requests(self._bus, ConnectionDetailsRequested, self._reply)

    async def collect(
        self, tenant_id: str, client_id: str, connection_ids: set[str]
    ) -> dict[str, SocketDetails]:
        """The details of a client's sockets by connection id, as far as they arrive; ServiceUnavailable."""
        if not connection_ids:
            return {}

        def complete(replies: list[ConnectionDetailsReply]) -> bool:
            return connection_ids <= {each.connection_id for reply in replies for each in reply.sockets}

        replies = await request_many(
            self._bus,
            ConnectionDetailsRequested(tenant_id=tenant_id, client_id=client_id),
            ConnectionDetailsReply,
            expected=complete,
            quiet_s=QUIET_S,
            within_s=REPLY_TIMEOUT_S,
        )
        return {each.connection_id: each for reply in replies for each in reply.sockets}

    async def _reply(self, request: ConnectionDetailsRequested) -> ConnectionDetailsReply:
        sessions = (
            session
            for kind in ClientKind
            for session in self._sessions.of_owner(request.tenant_id, f"{kind}:{request.client_id}")
        )
        return ConnectionDetailsReply(
            instance=self._instance,
            sockets=[_describe(each) for each in islice(sessions, MAX_SOCKETS_PER_REPLY)],
        )


def _describe(session: InspectedSession) -> SocketDetails:
    names = session.subscribed_names
    return SocketDetails(
        connection_id=session.socket.connection_id,
        idle_s=round(max(time.monotonic() - session.socket.last_received_at, 0.0), 3),
        queued_bytes=session.socket.send_queue.backlog,
        subscription_count=len(names),
        subscriptions=sorted(names)[:MAX_SUBSCRIPTIONS],
        errors=list(session.socket.recent_errors),
    )
