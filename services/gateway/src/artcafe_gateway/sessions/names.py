"""Resolves the subjects and channels that a session's frames name."""

import msgspec

from artcafe_common.broker.subjects import (
    ULID_PATTERN,
    ForbiddenSubject,
    ResolvedSubject,
    SubjectForm,
    permitted,
    resolve,
    resolve_channel,
    validate,
)
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.identity.clients import ClientIdentity
from artcafe_common.contracts.tenancy.agents import AgentNotFound, GetAgent
from artcafe_gateway.lookup_cache import caller_for_tenant
from artcafe_gateway.wire.parsing import BadFrame

AGENTS = "agents"
MAX_AGENTS = 1000


class NameResolver:
    """Resolves names within the client's tenant, and checks the client's permissions."""

    def __init__(self, identity: ClientIdentity) -> None:
        self._tenant_id = identity.tenant_id
        self._permissions = identity.permissions

    def resolve(self, subject: str | None, channel: str | None, *, wildcards: bool) -> ResolvedSubject:
        """The name of a subject or a channel; BadFrame unless one of them is given, BadSubject, ForbiddenSubject."""
        if (subject is None) == (channel is None):
            raise BadFrame("give either a subject or a channel")
        if channel is not None:
            return resolve_channel(self._tenant_id, channel, wildcards=False)
        return resolve(self._tenant_id, subject or "", wildcards=wildcards)

    def require_publish(self, name: ResolvedSubject) -> None:
        """Raise ForbiddenSubject unless the client may publish to a name."""
        if not permitted(self._tenant_id, self._permissions.publish, (name.publish_subject,)):
            raise ForbiddenSubject

    def require_subscribe(self, name: ResolvedSubject) -> None:
        """Raise ForbiddenSubject unless the client may subscribe to a name."""
        if not name.subscribe_subjects or not permitted(
            self._tenant_id, self._permissions.subscribe, name.subscribe_subjects
        ):
            raise ForbiddenSubject


class AgentNameResolver(NameResolver):
    """Resolves names as the published SDK's agents write them.

    A `channel` that is not a channel id is a subject. `agents.<id>.…` is in the tenant when `<id>` is one of its agents.
    """

    def __init__(self, identity: ClientIdentity, bus: Bus) -> None:
        super().__init__(identity)
        self._agent_id = identity.client_id
        self._bus = bus
        # Whether an id that followed `agents.` is an agent of this tenant.
        self._agents = {self._agent_id: True}

    def resolve(self, subject: str | None, channel: str | None, *, wildcards: bool) -> ResolvedSubject:
        if subject is None and channel is not None and not ULID_PATTERN.match(channel):
            subject, channel = channel, None
        try:
            return super().resolve(subject, channel, wildcards=wildcards)
        except ForbiddenSubject:
            agent_id = _agent_id(subject)
            if subject is None or agent_id is None or not self._agents.get(agent_id):
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


def _agent_id(subject: str | None) -> str | None:
    """The id after `agents.` in a well-formed subject, or None; BadSubject for a malformed subject."""
    if not subject or not subject.startswith(f"{AGENTS}."):
        return None
    second = validate(subject, wildcards=True)[1]
    return second if ULID_PATTERN.match(second) else None
