"""Caches what the gateway looks up in identity and tenancy; events invalidate the entries."""

import hashlib
import re
import time
from functools import partial

import msgspec
from cachetools import TTLCache

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.cache import Cache, Versions
from artcafe_common.contracts.identity.users import InvalidToken, User, VerifyUserToken
from artcafe_common.contracts.presence import ClientKind
from artcafe_common.contracts.tenancy.accounts import GetAccount
from artcafe_common.contracts.tenancy.agents import AgentNotFound, GetAgent
from artcafe_common.contracts.tenancy.channels import Channel, ChannelNotFound, GetChannel
from artcafe_common.contracts.tenancy.clients import ClientNotFound, GetClient
from artcafe_common.contracts.tenancy.events import (
    AccountStatusChanged,
    ChannelChanged,
    ClientChanged,
    MembershipChanged,
    PlanChanged,
)
from artcafe_common.contracts.tenancy.members import Membership, ResolveMembership
from artcafe_common.plans import Plan

# Short, because callers continue without the plan.
PLAN_DEADLINE_S = 1.0
CHANNEL_AGE_S = 30
# Names are shown in frames of presence, which go out without them when tenancy does not answer.
NAME_AGE_S = 60
NAME_DEADLINE_S = 1.0
# So that a flood of messages to a channel that does not exist costs tenancy nothing.
MISSING_CHANNEL_AGE_S = 1
MAX_CHANNEL_TEXT = 128
MAX_CHANNEL_VERSIONS = 20_000
_SURROGATE = re.compile("[\ud800-\udfff]")


class LookupCache:
    """Users by token, memberships, channels, names of clients, and plans."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._users: Cache[bytes, User] = Cache(size=20_000, age_s=60)
        self._memberships: Cache[tuple[str, str | None, bool], Membership] = Cache(size=20_000, age_s=30)
        # Channels by tenant, version of the tenant's channels, and id or name.
        self._channels: Cache[tuple[str, int, str], Channel] = Cache(size=20_000, age_s=CHANNEL_AGE_S)
        self._missing_channels: TTLCache[tuple[str, int, str], None] = TTLCache(20_000, MISSING_CHANNEL_AGE_S)
        self._channel_versions: Versions[str] = Versions(size=MAX_CHANNEL_VERSIONS)
        self._client_names: Cache[tuple[str, str], str | None] = Cache(size=20_000, age_s=NAME_AGE_S)
        self._plans: Cache[str, Plan] = Cache(size=20_000, age_s=300)

    async def subscribe(self) -> None:
        """Subscribe to the events that invalidate entries."""
        await self._bus.subscribe(MembershipChanged, self._on_membership_changed)
        await self._bus.subscribe(ChannelChanged, self._on_channel_changed)
        await self._bus.subscribe(PlanChanged, self._on_plan_changed)
        await self._bus.subscribe(AccountStatusChanged, self._on_status_changed)
        await self._bus.subscribe(ClientChanged, self._on_client_changed)

    async def user(self, token: str, caller: CallerContext) -> User:
        """The user of a bearer token; InvalidToken."""
        # Hashed, so that a memory dump reveals no tokens.
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        user = await self._users.get(key, lambda: self._bus.call(VerifyUserToken(token=token), caller=caller))
        if user.expires_at.timestamp() + 30 < time.time():
            self._users.invalidate(key)
            raise InvalidToken
        return user

    async def membership(
        self, user: User, tenant_id: str | None, caller: CallerContext, *, include_deleted: bool = False
    ) -> Membership:
        """The user's membership of a tenant, or of the only one; as ResolveMembership."""
        return await self._memberships.get(
            (user.user_id, tenant_id, include_deleted),
            lambda: self._bus.call(
                ResolveMembership(user_id=user.user_id, tenant_id=tenant_id, include_deleted=include_deleted),
                caller=caller,
            ),
        )

    async def channel(self, channel: str, caller: CallerContext) -> Channel:
        """A channel of the caller's tenant, by its id or name; ChannelNotFound."""
        if not _is_possible(channel):
            raise ChannelNotFound
        key = (caller.tenant_id, self.channels_version(caller.tenant_id), channel)
        if key in self._missing_channels:
            raise ChannelNotFound
        try:
            return await self._channels.get(
                key, lambda: self._bus.call(GetChannel(channel_id=channel), caller=caller)
            )
        except ChannelNotFound:
            self._missing_channels[key] = None
            raise

    def channels_version(self, tenant_id: str) -> int:
        """A number that changes whenever a channel of the tenant may have changed."""
        return self._channel_versions.get(tenant_id)

    async def client_name(self, tenant_id: str, kind: ClientKind, client_id: str) -> str | None:
        """The name of a tenant's client or agent; None if it does not exist. CommandError."""

        async def load() -> str | None:
            call = partial(
                self._bus.call,
                caller=caller_for_tenant(tenant_id),
                deadline_s=NAME_DEADLINE_S,
                wait_for_recovery=False,
            )
            try:
                if kind is ClientKind.AGENT:
                    return (await call(GetAgent(agent_id=client_id))).name
                return (await call(GetClient(client_id=client_id))).name
            except (ClientNotFound, AgentNotFound):
                return None

        return await self._client_names.get((tenant_id, client_id), load)

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
        for requested in (tenant_id, None):
            for include_deleted in (False, True):
                self._memberships.invalidate((user_id, requested, include_deleted))

    def clear(self) -> None:
        """Invalidate all entries, after events may have been missed."""
        for cache in (self._users, self._memberships, self._channels, self._client_names, self._plans):
            cache.clear()
        self._channel_versions.clear()

    async def _on_membership_changed(self, event: MembershipChanged) -> None:
        self.invalidate_membership(event.user_id, event.tenant_id)

    async def _on_channel_changed(self, event: ChannelChanged) -> None:
        self._channel_versions.change(event.tenant_id)

    async def _on_client_changed(self, event: ClientChanged) -> None:
        self._client_names.invalidate((event.tenant_id, event.client_id))

    async def _on_plan_changed(self, event: PlanChanged) -> None:
        self._memberships.clear()
        self._plans.invalidate(event.tenant_id)

    async def _on_status_changed(self, _event: AccountStatusChanged) -> None:
        self._memberships.clear()


def _is_possible(channel: str) -> bool:
    """Whether a text can be a channel's id or name: it is short, and no surrogate code point is in it."""
    return 0 < len(channel) <= MAX_CHANNEL_TEXT and not _SURROGATE.search(channel)


def caller_for_tenant(tenant_id: str) -> CallerContext:
    """The gateway as the caller, on behalf of a tenant that has authenticated."""
    return msgspec.structs.replace(CallerContext.service("gateway"), tenant_id=tenant_id)
