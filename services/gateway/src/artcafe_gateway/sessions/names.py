"""Resolves the subjects and channels that a session's frames name."""

import msgspec

from artcafe_common.broker.subjects import (
    ULID_PATTERN,
    ForbiddenSubject,
    ResolvedSubject,
    SubjectForm,
    channel_id_of,
    resolve,
    resolve_channel,
    validate,
)
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.identity.clients import ClientIdentity
from artcafe_common.contracts.tenancy.agents import AgentNotFound, GetAgent
from artcafe_common.contracts.tenancy.channels import Channel, ChannelNotFound
from artcafe_common.grants import allows, client_grants, permitted
from artcafe_gateway.lookup_cache import LookupCache, caller_for_tenant
from artcafe_gateway.wire.parsing import BadFrame

AGENTS = "agents"
MAX_AGENTS = 1000


class NameResolver:
    """Resolves names within the client's tenant, and checks the client's permissions.

    Channels are managed: a channel is named by its id or its name, and must exist. A message cannot be published
    on the subject of one that does not.
    """

    def __init__(self, identity: ClientIdentity, lookup_cache: LookupCache) -> None:
        self._tenant_id = identity.tenant_id
        self._lookup_cache = lookup_cache
        self._caller = caller_for_tenant(identity.tenant_id)
        self._permissions = identity.permissions
        self._grants = client_grants(identity.tenant_id, identity.client_id, identity.permissions)

    async def resolve(self, subject: str | None, channel: str | None, *, wildcards: bool) -> ResolvedSubject:
        """The name of a subject or a channel.

        BadFrame unless one of them is given, BadSubject, ForbiddenSubject, ChannelNotFound.
        """
        if (subject is None) == (channel is None):
            raise BadFrame("give either a subject or a channel")
        if channel is not None:
            found = await self._lookup_cache.channel(channel, self._caller)
            return name_of_channel(found)
        return self._resolve_subject(subject or "", wildcards=wildcards)

    async def resolve_target(self, subject: str | None, channel: str | None) -> ResolvedSubject:
        """The name to publish to; errors as `resolve`, and ChannelNotFound for the subject of a missing channel."""
        name = await self.resolve(subject, channel, wildcards=False)
        channel_id = channel_id_of(self._tenant_id, name.publish_subject)
        if channel_id is None:
            return name
        found = await self._lookup_cache.channel(channel_id, self._caller)
        _require_id(found, channel_id)
        return _with_history(name, found)

    def cached_target(self, subject: str | None, channel: str | None) -> ResolvedSubject | None:
        """As `resolve_target`, without awaiting; None when a channel has to be looked up."""
        if subject is None or channel is not None:
            return None
        name = self._resolve_subject(subject, wildcards=False)
        return None if channel_id_of(self._tenant_id, name.publish_subject) is not None else name

    def _resolve_subject(self, subject: str, *, wildcards: bool) -> ResolvedSubject:
        return resolve(self._tenant_id, subject, wildcards=wildcards)

    def require_publish(self, name: ResolvedSubject) -> None:
        """Raise ForbiddenSubject unless the client may publish to a name."""
        if not permitted(self._tenant_id, self._permissions.publish, (name.publish_subject,)):
            raise ForbiddenSubject

    def may_publish_as_written(self, subject: str) -> bool:
        """Whether the client could publish on exactly this subject over direct NATS."""
        return allows(self._grants.publish, subject)

    def require_subscribe(self, name: ResolvedSubject) -> None:
        """Raise ForbiddenSubject unless the client may subscribe to a name."""
        if not name.subscribe_subjects or not permitted(
            self._tenant_id, self._permissions.subscribe, name.subscribe_subjects
        ):
            raise ForbiddenSubject


class AgentNameResolver(NameResolver):
    """Resolves names as the published SDK's agents write them.

    A `channel` that is not the id or name of a channel is a subject. `agents.<id>.…` is in the tenant when `<id>` is one of its agents.
    """

    def __init__(self, identity: ClientIdentity, lookup_cache: LookupCache, bus: Bus) -> None:
        super().__init__(identity, lookup_cache)
        self._agent_id = identity.client_id
        self._bus = bus
        # Whether an id that followed `agents.` is an agent of this tenant.
        self._agents = {self._agent_id: True}

    async def resolve(self, subject: str | None, channel: str | None, *, wildcards: bool) -> ResolvedSubject:
        try:
            return await super().resolve(subject, channel, wildcards=wildcards)
        except ChannelNotFound:
            if channel is None or ULID_PATTERN.match(channel):
                raise
        return self._resolve_subject(channel, wildcards=wildcards)

    def _resolve_subject(self, subject: str, *, wildcards: bool) -> ResolvedSubject:
        try:
            return super()._resolve_subject(subject, wildcards=wildcards)
        except ForbiddenSubject:
            agent_id = _agent_id(subject)
            if agent_id is None or not self._agents.get(agent_id):
                raise
            name = resolve(self._tenant_id, f"{self._tenant_id}.{subject}", wildcards=wildcards)
            return msgspec.structs.replace(name, original=subject, form=SubjectForm.BARE)

    async def learn_agent(self, subject: str | None) -> None:
        """Look up the agent that a subject `agents.<id>.…` names, so that `resolve` knows it; BadSubject."""
        agent_id = _agent_id(subject)
        if agent_id is None or agent_id in self._agents or agent_id == self._tenant_id:
            return
        if len(self._agents) >= MAX_AGENTS:
            self._agents = {self._agent_id: True}
        try:
            await self._bus.call(GetAgent(agent_id=agent_id), caller=caller_for_tenant(self._tenant_id))
        except AgentNotFound:
            self._agents[agent_id] = False
        else:
            self._agents[agent_id] = True


def name_of_channel(channel: Channel) -> ResolvedSubject:
    """The name of a channel that was looked up."""
    return _with_history(resolve_channel(channel.tenant_id, channel.channel_id), channel)


def _with_history(name: ResolvedSubject, channel: Channel) -> ResolvedSubject:
    return msgspec.structs.replace(
        name,
        has_history=channel.has_history,
        created_at=channel.created_at,
        purged_seq=channel.purged_seq,
        purged_at=channel.purged_at,
    )


def _require_id(channel: Channel, channel_id: str) -> None:
    # The subject of a channel has its id, not its name.
    if channel.channel_id != channel_id:
        raise ChannelNotFound


def _agent_id(subject: str | None) -> str | None:
    """The id after `agents.` in a well-formed subject, or None; BadSubject for a malformed subject."""
    if not subject or not subject.startswith(f"{AGENTS}."):
        return None
    second = validate(subject, wildcards=True)[1]
    return second if ULID_PATTERN.match(second) else None
