"""Caches what the gateway looks up in identity and tenancy; events invalidate the entries."""

import hashlib
import time

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.users import InvalidToken, User, VerifyUserToken
from artcafe_common.contracts.tenancy.accounts import GetAccount
from artcafe_common.contracts.tenancy.channels import Channel, GetChannel
from artcafe_common.contracts.tenancy.events import ChannelChanged, MembershipChanged, PlanChanged
from artcafe_common.contracts.tenancy.members import Membership, ResolveMembership
from artcafe_common.plans import Plan

# Short, because callers continue without the plan.
PLAN_DEADLINE_S = 1.0


class LookupCache:
    """Users by token, memberships, channels, and plans."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._users: Cache[bytes, User] = Cache(size=20_000, age_s=60)
        self._memberships: Cache[tuple[str, str | None], Membership] = Cache(size=20_000, age_s=30)
        self._channels: Cache[tuple[str, str], Channel] = Cache(size=20_000, age_s=30)
        self._plans: Cache[str, Plan] = Cache(size=20_000, age_s=300)

    async def subscribe(self) -> None:
        """Subscribe to the events that invalidate entries."""
        await self._bus.subscribe(MembershipChanged, self._on_membership_changed)
        await self._bus.subscribe(ChannelChanged, self._on_channel_changed)
        await self._bus.subscribe(PlanChanged, self._on_plan_changed)

    async def user(self, token: str, caller: CallerContext) -> User:
        """The user of a bearer token; InvalidToken."""
        # Hashed, so that a memory dump reveals no tokens.
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        user = await self._users.get(key, lambda: self._bus.call(VerifyUserToken(token=token), caller=caller))
        if user.expires_at.timestamp() + 30 < time.time():
            self._users.invalidate(key)
            raise InvalidToken
        return user

    async def membership(self, user: User, tenant_id: str | None, caller: CallerContext) -> Membership:
        """The user's membership of a tenant, or of the only one; Forbidden, TenantRequired."""
        return await self._memberships.get(
            (user.user_id, tenant_id),
            lambda: self._bus.call(
                ResolveMembership(user_id=user.user_id, tenant_id=tenant_id), caller=caller
            ),
        )

    async def channel(self, channel_id: str, caller: CallerContext) -> Channel:
        """A channel of the caller's tenant; ChannelNotFound."""
        return await self._channels.get(
            (caller.tenant_id, channel_id),
            lambda: self._bus.call(GetChannel(channel_id=channel_id), caller=caller),
        )

    async def plan(self, tenant_id: str) -> Plan:
        """The plan of an organization."""

        async def load() -> Plan:
            account = await self._bus.call(
                GetAccount(),
                caller=caller_for_tenant(tenant_id),
                deadline_s=PLAN_DEADLINE_S,
                wait_for_recovery=False,
            )
            return account.plan

        return await self._plans.get(tenant_id, load)

    def invalidate_plan(self, tenant_id: str) -> None:
        """Look up the plan of an organization again."""
        self._plans.invalidate(tenant_id)

    def invalidate_membership(self, user_id: str, tenant_id: str) -> None:
        """Look up a user's membership again."""
        self._memberships.invalidate((user_id, tenant_id))
        self._memberships.invalidate((user_id, None))

    def clear(self) -> None:
        """Invalidate all entries, after events may have been missed."""
        for cache in (self._users, self._memberships, self._channels, self._plans):
            cache.clear()

    async def _on_membership_changed(self, event: MembershipChanged) -> None:
        self.invalidate_membership(event.user_id, event.tenant_id)

    async def _on_channel_changed(self, event: ChannelChanged) -> None:
        self._channels.invalidate((event.tenant_id, event.channel_id))

    async def _on_plan_changed(self, event: PlanChanged) -> None:
        self._memberships.clear()
        self._plans.invalidate(event.tenant_id)


def caller_for_tenant(tenant_id: str) -> CallerContext:
    """The gateway as the caller, on behalf of a tenant that has authenticated."""
    return msgspec.structs.replace(CallerContext.service("gateway"), tenant_id=tenant_id)
