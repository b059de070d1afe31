"""What the gateway asks of identity and tenancy on every request, cached and kept true by events."""

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

# Whoever asks for a plan can go on without it.
PLAN_S = 1.0


class LookupCache:
    """Who a token speaks for, which tenant they act for, and which channels there are."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._users: Cache[bytes, User] = Cache(size=20_000, age_s=60)
        self._members: Cache[tuple[str, str | None], Membership] = Cache(size=20_000, age_s=30)
        self._channels: Cache[tuple[str, str], Channel] = Cache(size=20_000, age_s=30)
        self._plans: Cache[str, Plan] = Cache(size=20_000, age_s=300)

    async def subscribe(self) -> None:
        """Drop what is cached as soon as it changes."""
        await self._bus.subscribe(MembershipChanged, self._member_changed)
        await self._bus.subscribe(ChannelChanged, self._channel_changed)
        await self._bus.subscribe(PlanChanged, self._plan_changed)

    async def user(self, token: str, caller: CallerContext) -> User:
        """The person behind a bearer token; InvalidToken otherwise."""
        # The token itself is not kept: a dump of this process shows none.
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        user = await self._users.get(key, lambda: self._bus.call(VerifyUserToken(token=token), caller=caller))
        if user.expires_at.timestamp() + 30 < time.time():
            self._users.invalidate(key)
            raise InvalidToken
        return user

    async def membership(self, user: User, tenant_id: str | None, caller: CallerContext) -> Membership:
        """The tenant that a person acts for; Forbidden or TenantRequired otherwise."""
        return await self._members.get(
            (user.user_id, tenant_id),
            lambda: self._bus.call(
                ResolveMembership(user_id=user.user_id, tenant_id=tenant_id), caller=caller
            ),
        )

    async def channel(self, channel_id: str, caller: CallerContext) -> Channel:
        """A channel of the caller's tenant; ChannelNotFound otherwise."""
        return await self._channels.get(
            (caller.tenant_id, channel_id),
            lambda: self._bus.call(GetChannel(channel_id=channel_id), caller=caller),
        )

    async def plan(self, tenant_id: str) -> Plan:
        """The plan that an organization is on."""

        async def load() -> Plan:
            account = await self._bus.call(
                GetAccount(), caller=caller_for_tenant(tenant_id), deadline_s=PLAN_S, wait_for_recovery=False
            )
            return account.plan

        return await self._plans.get(tenant_id, load)

    def forget_plan(self, tenant_id: str) -> None:
        """An organization's plan is to be asked for again."""
        self._plans.invalidate(tenant_id)

    def forget_member(self, user_id: str, tenant_id: str) -> None:
        """A user's place in a tenant is to be asked for again."""
        self._members.invalidate((user_id, tenant_id))
        self._members.invalidate((user_id, None))

    def clear(self) -> None:
        """News may have been missed."""
        for cache in (self._users, self._members, self._channels, self._plans):
            cache.clear()

    async def _member_changed(self, event: MembershipChanged) -> None:
        self.forget_member(event.user_id, event.tenant_id)

    async def _channel_changed(self, event: ChannelChanged) -> None:
        self._channels.invalidate((event.tenant_id, event.channel_id))

    async def _plan_changed(self, event: PlanChanged) -> None:
        self._members.clear()
        self._plans.invalidate(event.tenant_id)


def caller_for_tenant(tenant_id: str) -> CallerContext:
    """The gateway itself, asking about a tenant whose credential it has checked."""
    return msgspec.structs.replace(CallerContext.service("gateway"), tenant_id=tenant_id)
