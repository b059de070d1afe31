"""Ends the sessions of whoever was revoked while the broker could not be reached.

A revocation is announced once to the gateways that are connected. One that was not looks up each owner of its sessions in
the store when it is connected again, where every change is written before it is announced.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

import msgspec
import structlog

from artcafe_common.backoff import Backoff
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError, Forbidden
from artcafe_common.concurrency import run_bounded
from artcafe_common.contracts.identity.clients import ACCOUNT_BLOCKED
from artcafe_common.contracts.tenancy.accounts import AccountNotFound, GetAccount
from artcafe_common.contracts.tenancy.agents import AgentNotFound, GetAgent
from artcafe_common.contracts.tenancy.clients import ClientNotFound, GetClient
from artcafe_common.contracts.tenancy.members import ResolveMembership
from artcafe_gateway.lookup_cache import caller_for_tenant
from artcafe_gateway.session_registry import SessionRegistry
from artcafe_gateway.wire.socket import CLOSE_REVOKED

# Clocks of hosts differ, and a broker that hangs is noticed late.
MARGIN = timedelta(seconds=60)
MAX_CONCURRENT_LOOKUPS = 20
FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 5.0
_NO_MEMBER: tuple[type[CommandError], ...] = (Forbidden, *ACCOUNT_BLOCKED)
log = structlog.get_logger()

# A tenant, and an owner of its sessions; "" stands for the organization itself.
_Subject = tuple[str, str]


class _Check(msgspec.Struct, frozen=True, eq=False):
    """One that is due: announcements since this time may have been missed."""

    since: datetime


class SessionAudit:
    """Looks up the owners of all sessions after the connection to the broker was lost."""

    def __init__(self, sessions: SessionRegistry, bus: Bus) -> None:
        self._sessions = sessions
        self._bus = bus
        self._unchecked: dict[_Subject, _Check] = {}
        self._due = asyncio.Event()

    def begin(self, lost_at: datetime) -> None:
        """Check who has a session now; announcements since `lost_at` may have been missed."""
        for session in self._sessions.all():
            for subject in ((session.tenant_id, ""), (session.tenant_id, session.owner)):
                earlier = self._unchecked.get(subject)
                since = lost_at - MARGIN if earlier is None else min(earlier.since, lost_at - MARGIN)
                self._unchecked[subject] = _Check(since)
        self._due.set()

    async def run(self) -> None:
        """Check until cancelled; a lookup that fails is repeated."""
        backoff = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        while True:
            await self._due.wait()
            self._due.clear()
            checks = [partial(self._try_check, each) for each in self._unchecked]
            failed = (await run_bounded(checks, limit=MAX_CONCURRENT_LOOKUPS)).count(False)
            log.info("sessions_checked", owners=len(checks), failed=failed)
            if not failed:
                backoff.reset()
                continue
            await asyncio.sleep(backoff.next_pause_s())
            self._due.set()

    async def _try_check(self, subject: _Subject) -> bool:
        tenant_id, owner = subject
        kind, _, owner_id = owner.partition(":")
        check: Callable[[str, str, datetime], Awaitable[None]] = {
            "": self._check_account,
            "client": self._check_client,
            "agent": self._check_agent,
            "user": self._check_user,
        }[kind]
        due = self._unchecked[subject]
        try:
            await check(tenant_id, owner_id, due.since)
        except CommandError as error:
            log.warning("session_not_checked", tenant_id=tenant_id, owner=owner, reason=error.code)
            return False
        # Unless it became due again meanwhile.
        if self._unchecked[subject] is due:
            del self._unchecked[subject]
        return True

    async def _check_account(self, tenant_id: str, _: str, _since: datetime) -> None:
        try:
            account = await self._bus.call(GetAccount(), caller=caller_for_tenant(tenant_id))
        except AccountNotFound:
            self._sessions.close_tenant(tenant_id, AccountNotFound.code)
        else:
            self._sessions.apply_status(tenant_id, account.status)

    async def _check_client(self, tenant_id: str, client_id: str, since: datetime) -> None:
        owner = f"client:{client_id}"
        try:
            client = await self._bus.call(GetClient(client_id=client_id), caller=caller_for_tenant(tenant_id))
        except ClientNotFound:
            self._sessions.revoke(tenant_id, owner, CLOSE_REVOKED, "deleted")
        else:
            if client.updated_at >= since:
                self._sessions.close_changed(tenant_id, owner, client.updated_at)

    async def _check_agent(self, tenant_id: str, agent_id: str, since: datetime) -> None:
        owner = f"agent:{agent_id}"
        try:
            agent = await self._bus.call(GetAgent(agent_id=agent_id), caller=caller_for_tenant(tenant_id))
        except AgentNotFound:
            self._sessions.revoke(tenant_id, owner, CLOSE_REVOKED, "deleted")
        else:
            if agent.updated_at >= since:
                self._sessions.close_changed(tenant_id, owner, agent.updated_at)

    async def _check_user(self, tenant_id: str, user_id: str, _since: datetime) -> None:
        command = ResolveMembership(user_id=user_id, tenant_id=tenant_id)
        try:
            await self._bus.call(command, caller=caller_for_tenant(tenant_id))
        except _NO_MEMBER:
            self._sessions.revoke(tenant_id, f"user:{user_id}", CLOSE_REVOKED, "membership_ended")
