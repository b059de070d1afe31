"""Every live socket of this process: found by whom it speaks for, timed by one clock."""

import asyncio
import time
from collections import OrderedDict
from typing import Protocol

from artcafe_common.contracts.tenancy.events import (
    AgentRevoked,
    ClientRevoked,
    MembershipChanged,
    RevocationReason,
)
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.wire.socket import CLOSE_RESTART, CLOSE_REVOKED, CLOSE_TIMEOUT, Socket

REMEMBER_REVOKED = 10_000
# Every socket is looked at once a second, a part of them at a time.
SLOTS = 4
TICK_S = 1 / SLOTS
PROGRAMS = ("client:", "agent:")


class TenantUser(Protocol):
    """A socket with its owner: a client (`client:<id>`), an agent (`agent:<id>`) or a person (`user:<id>`)."""

    socket: Socket
    tenant_id: str
    owner: str
    counted_at: float


class SessionRegistry:
    """Ends sockets whose owner was revoked, that fell silent, or whose process is leaving."""

    def __init__(self, *, usage: UsageRecorder, timeout_s: float, ping_s: float) -> None:
        self._usage = usage
        self._timeout_s = timeout_s
        self._ping_s = ping_s
        self._members: dict[str, dict[TenantUser, None]] = {}
        self._slots: list[dict[TenantUser, None]] = [{} for _ in range(SLOTS)]
        self._turn = 0
        # Revocations that may overtake an authentication under way.
        self._revoked: OrderedDict[str, float] = OrderedDict()
        # Closed until revocations are heard, and again when the process leaves.
        self.accepting = False

    def add(self, member: TenantUser, *, authenticated_at: float) -> bool:
        """Take a socket in; False when its owner was revoked since its authentication began."""
        revoked_at = self._revoked.get(_key(member.tenant_id, member.owner))
        if revoked_at is not None and revoked_at >= authenticated_at:
            return False
        self._members.setdefault(_key(member.tenant_id, member.owner), {})[member] = None
        min(self._slots, key=len)[member] = None
        return True

    def remove(self, member: TenantUser) -> None:
        """Let a socket go, its time counted."""
        key = _key(member.tenant_id, member.owner)
        for slot in self._slots:
            slot.pop(member, None)
        if self._members.get(key, {}).pop(member, self) is not self:
            self._count(member, time.monotonic())
        if not self._members.get(key):
            self._members.pop(key, None)

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    # -- ends ----------------------------------------------------------------------------------

    async def client_revoked(self, event: ClientRevoked) -> None:
        """A client's sockets end now."""
        if event.reason is RevocationReason.PERMISSIONS_CHANGED:
            self._end(event.tenant_id, f"client:{event.client_id}", CLOSE_RESTART, "permissions_changed")
        else:
            self._end(event.tenant_id, f"client:{event.client_id}", CLOSE_REVOKED, event.reason.value)

    async def agent_revoked(self, event: AgentRevoked) -> None:
        """An agent's sockets end now."""
        self._end(event.tenant_id, f"agent:{event.agent_id}", CLOSE_REVOKED, event.reason.value)

    async def member_changed(self, event: MembershipChanged) -> None:
        """The sockets of a person who left a tenant end now."""
        if event.role is None:
            self._end(event.tenant_id, f"user:{event.user_id}", CLOSE_REVOKED, "membership_ended")

    def _end(self, tenant_id: str, owner: str, code: int, reason: str) -> None:
        key = _key(tenant_id, owner)
        self._revoked[key] = time.monotonic()
        self._revoked.move_to_end(key)
        while len(self._revoked) > REMEMBER_REVOKED:
            self._revoked.popitem(last=False)
        for member in tuple(self._members.get(key, ())):
            member.socket.close(code, reason)

    async def drain(self) -> None:
        """Tell every socket to come back elsewhere, and give the messages a moment to leave."""
        self.accepting = False
        for member in self.all():
            member.socket.close(CLOSE_RESTART, "restarting")
        for _ in range(40):
            if not self._members:
                return
            await asyncio.sleep(0.05)

    def all(self) -> list[TenantUser]:
        """Every socket."""
        return [member for members in self._members.values() for member in members]

    # -- time ----------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Turn the wheel: of one slot, close what fell silent, and count what is open."""
        now = time.monotonic()
        self._turn = (self._turn + 1) % SLOTS
        for member in tuple(self._slots[self._turn]):
            member.socket.keep_alive(now, self._ping_s)
            if member.owner.startswith(PROGRAMS):
                self._count(member, now)
                if now - member.socket.last_received_at > self._timeout_s:
                    member.socket.close(CLOSE_TIMEOUT, "heartbeat_timeout")

    def _count(self, member: TenantUser, now: float) -> None:
        if member.owner.startswith(PROGRAMS):
            client_id = member.owner.partition(":")[2]
            self._usage.record_connection_time(member.tenant_id, client_id, now - member.counted_at)
            member.counted_at = now


def _key(tenant_id: str, owner: str) -> str:
    return f"{tenant_id}/{owner}"
