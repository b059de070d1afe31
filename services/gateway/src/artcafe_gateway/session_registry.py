"""The registry of this process's sessions: closes revoked ones, and checks all of them for timeouts."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_bounded
from artcafe_common.contracts.gateway import CloseConnections, CloseReason, SentError
from artcafe_common.contracts.identity.clients import AccountDeleted, AccountSuspended
from artcafe_common.contracts.tenancy.accounts import AccountStatus
from artcafe_common.contracts.tenancy.events import (
    AccountStatusChanged,
    AgentRevoked,
    ClientRevoked,
    MembershipChanged,
    RevocationReason,
)
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.wire.send_queue import BufferedConnection
from artcafe_gateway.wire.socket import (
    CLOSE_RESTART,
    CLOSE_REVOKED,
    CLOSE_TIMEOUT,
    CLOSE_TRY_LATER,
    RECONNECT_SPREAD_MS,
)

MAX_RECENT_REVOCATIONS = 10_000
_BLOCKED = {AccountStatus.SUSPENDED: AccountSuspended, AccountStatus.DELETED: AccountDeleted}
# In place of an owner: everybody of an organization.
EVERY_OWNER = "*"
# Each session is checked once a second; a tick checks one slot of them.
SLOTS = 4
TICK_S = 1 / SLOTS
# The owners whose connection time is billed, and that must send heartbeats.
_CLIENT_PREFIXES = ("client:", "agent:")
# A broker that does not answer holds up a shutdown for no longer than this.
LEAVE_TIMEOUT_S = 1.0
MAX_CONCURRENT_LEAVES = 100
_SHUTDOWN_POLLS, _SHUTDOWN_POLL_S = 40, 0.05
# The delays of the sessions that a shutdown closes are spread over this time for each of them, so that other gateways
# are not asked for more handshakes than they serve.
SPREAD_PER_SESSION_MS, MIN_SPREAD_MS, MAX_SPREAD_MS = 2, 1_000, 30_000


class SessionConnection(BufferedConnection, Protocol):
    """The connection of a session: a WebSocket, or a stream of server-sent events."""

    connection_id: str

    @property
    def last_received_at(self) -> float:
        """When the peer sent something last, in monotonic time."""

    @property
    def recent_errors(self) -> Sequence[SentError]:
        """The last errors that were sent to the peer, oldest first."""

    def send_error(self, error: CommandError) -> None:
        """Queues an error."""

    def send_reconnect(self, spread_ms: int = RECONNECT_SPREAD_MS) -> None:
        """Tells the peer when to connect again, within a random time of `spread_ms`. Idempotent."""

    def close(self, code: int, reason: str) -> None:
        """Closes the connection with the code of a WebSocket and a reason. Idempotent."""

    def keep_alive(self, now: float, interval_s: float) -> None:
        """Sends a sign of life every `interval_s`; called about once a second."""


class RegisteredSession(Protocol):
    """A session; its owner is `client:<id>`, `agent:<id>` or `user:<id>`.

    `owner_updated_at` is when the client or agent that logged in had been changed last, None for users.
    """

    @property
    def socket(self) -> SessionConnection:
        """Its connection."""

    tenant_id: str
    owner: str
    owner_updated_at: datetime | None
    recorded_until: float

    @property
    def busy(self) -> bool:
        """Whether a frame of the peer is not answered yet."""

    @property
    def subscribed_names(self) -> Sequence[str]:
        """The names that it subscribes to, as its peer spells them."""

    async def leave_groups(self) -> None:
        """Leave the queue groups, after the messages for which the session was chosen."""


class SessionRegistry:
    """Closes sessions that were revoked or timed out, and all of them on shutdown."""

    def __init__(self, *, usage: UsageRecorder, timeout_s: float, ping_s: float) -> None:
        self._usage = usage
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._by_owner: dict[str, dict[RegisteredSession, None]] = {}
        self._slots: list[dict[RegisteredSession, None]] = [{} for _ in range(SLOTS)]
        self._current_slot = 0
        # How many sessions were added, by the kind of their owner.
        self.opened: dict[str, int] = {}
        # Recent revocations: one may arrive while its owner is authenticating.
        self._revoked: OrderedDict[str, float] = OrderedDict()
        # False until the revocation events are subscribed, and during shutdown.
        self.accepting = False
        # Set when the shutdown begins.
        self.stopping = asyncio.Event()

    def add(self, session: RegisteredSession, *, authenticated_at: float) -> bool:
        """Register a session; False when its owner was revoked since its authentication began."""
        for owner in (session.owner, EVERY_OWNER):
            revoked_at = self._revoked.get(_key(session.tenant_id, owner))
            if revoked_at is not None and revoked_at >= authenticated_at:
                return False
        self._by_owner.setdefault(_key(session.tenant_id, session.owner), {})[session] = None
        min(self._slots, key=len)[session] = None
        kind = session.owner.partition(":")[0]
        self.opened[kind] = self.opened.get(kind, 0) + 1
        return True

    def remove(self, session: RegisteredSession) -> None:
        """Unregister a session, and record its connection time."""
        key = _key(session.tenant_id, session.owner)
        for slot in self._slots:
            slot.pop(session, None)
        if self._by_owner.get(key, {}).pop(session, self) is not self:
            self._record_connection_time(session, time.monotonic())
        if not self._by_owner.get(key):
            self._by_owner.pop(key, None)

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    async def subscribe(self, bus: Bus) -> None:
        """Subscribe to what ends sessions."""
        await bus.subscribe(ClientRevoked, self.on_client_revoked)
        await bus.subscribe(AgentRevoked, self.on_agent_revoked)
        await bus.subscribe(AccountStatusChanged, self.on_account_status_changed)
        await bus.subscribe(MembershipChanged, self.on_membership_changed)
        await bus.subscribe_signal(CloseConnections, self.on_close_connections, shared=False)

    # -- revocation and shutdown ---------------------------------------------------------------

    async def on_client_revoked(self, event: ClientRevoked) -> None:
        """Close the client's sessions."""
        if event.reason is RevocationReason.PERMISSIONS_CHANGED:
            self.revoke(event.tenant_id, f"client:{event.client_id}", CLOSE_RESTART, "permissions_changed")
        else:
            self.revoke(event.tenant_id, f"client:{event.client_id}", CLOSE_REVOKED, event.reason.value)

    async def on_agent_revoked(self, event: AgentRevoked) -> None:
        """Close the agent's sessions."""
        self.revoke(event.tenant_id, f"agent:{event.agent_id}", CLOSE_REVOKED, event.reason.value)

    async def on_membership_changed(self, event: MembershipChanged) -> None:
        """Close the sessions of a user whose membership ended."""
        if event.role is None:
            self.revoke(event.tenant_id, f"user:{event.user_id}", CLOSE_REVOKED, "membership_ended")

    async def on_account_status_changed(self, event: AccountStatusChanged) -> None:
        """Close every session of a suspended or deleted organization."""
        self.apply_status(event.tenant_id, event.status)

    def apply_status(self, tenant_id: str, status: AccountStatus) -> None:
        """Close every session of an organization with a status that keeps everybody out."""
        error = _BLOCKED.get(status)
        if error is not None:
            self.close_tenant(tenant_id, error.code)

    def close_tenant(self, tenant_id: str, reason: str) -> None:
        """Close every session of an organization."""
        self._note_revocation(tenant_id, EVERY_OWNER)
        for session in self.all():
            if session.tenant_id == tenant_id:
                session.socket.close(CLOSE_REVOKED, reason)

    async def on_close_connections(self, signal: CloseConnections) -> None:
        """Close the sessions that are over the plan's number of connections, or that an admin ends."""
        ids = set(signal.connection_ids)
        for session in self.all():
            if session.tenant_id == signal.tenant_id and session.socket.connection_id in ids:
                if signal.reason is CloseReason.PLAN_LIMIT:
                    session.socket.send_error(PlanLimitReached("the plan allows no more connections at once"))
                    session.socket.close(CLOSE_TRY_LATER, PlanLimitReached.code)
                else:
                    session.socket.close(CLOSE_RESTART, signal.reason.value)

    def revoke(self, tenant_id: str, owner: str, code: int, reason: str) -> None:
        """Close the sessions of an owner; who authenticated before now gets none."""
        self._note_revocation(tenant_id, owner)
        for session in tuple(self._by_owner.get(_key(tenant_id, owner), ())):
            session.socket.close(code, reason)

    def close_changed(self, tenant_id: str, owner: str, updated_at: datetime) -> None:
        """Close the sessions of an owner that was changed since it logged in; it logs in again, if that is allowed."""
        for session in tuple(self._by_owner.get(_key(tenant_id, owner), ())):
            if session.owner_updated_at != updated_at:
                session.socket.close(CLOSE_RESTART, "changed")

    def _note_revocation(self, tenant_id: str, owner: str) -> None:
        key = _key(tenant_id, owner)
        self._revoked[key] = time.monotonic()
        self._revoked.move_to_end(key)
        while len(self._revoked) > MAX_RECENT_REVOCATIONS:
            self._revoked.popitem(last=False)

    async def drain(self) -> None:
        """Close every session with 1012, and wait up to 2 s until they have ended.

        Sessions with unanswered frames get their answers first, for up to 2 s. All leave their queue groups before they
        are asked to reconnect, so that other members receive the messages from then on.
        """
        self.accepting = False
        self.stopping.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await run_bounded(
                    (session.leave_groups for session in self.all()), limit=MAX_CONCURRENT_LEAVES
                )
        spread_ms = min(max(len(self) * SPREAD_PER_SESSION_MS, MIN_SPREAD_MS), MAX_SPREAD_MS)
        for session in self.all():
            session.socket.send_reconnect(spread_ms)
        for _ in range(_SHUTDOWN_POLLS):
            for session in self.all():
                if not session.busy:
                    session.socket.close(CLOSE_RESTART, "restarting")
            if not any(session.busy for session in self.all()):
                break
            await asyncio.sleep(_SHUTDOWN_POLL_S)
        for session in self.all():
            session.socket.close(CLOSE_RESTART, "restarting")
        for _ in range(_SHUTDOWN_POLLS):
            if not self._by_owner:
                return
            await asyncio.sleep(_SHUTDOWN_POLL_S)

    def all(self) -> list[RegisteredSession]:
        """Every session."""
        return [session for sessions in self._by_owner.values() for session in sessions]

    def of_owner(self, tenant_id: str, owner: str) -> list[RegisteredSession]:
        """The sessions of one owner."""
        return list(self._by_owner.get(_key(tenant_id, owner), ()))

    # -- timeouts ------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Ping the sessions of the next slot, close those that timed out, and record connection time."""
        now = time.monotonic()
        self._current_slot = (self._current_slot + 1) % SLOTS
        for session in tuple(self._slots[self._current_slot]):
            session.socket.keep_alive(now, self._ping_s)
            if session.owner.startswith(_CLIENT_PREFIXES):
                self._record_connection_time(session, now)
                if now - session.socket.last_received_at > self._timeout_s:
                    session.socket.close(CLOSE_TIMEOUT, "heartbeat_timeout")

    def _record_connection_time(self, session: RegisteredSession, now: float) -> None:
        if session.owner.startswith(_CLIENT_PREFIXES):
            client_id = session.owner.partition(":")[2]
            self._usage.record_connection_time(session.tenant_id, client_id, now - session.recorded_until)
            session.recorded_until = now


def _key(tenant_id: str, owner: str) -> str:
    return f"{tenant_id}/{owner}"
