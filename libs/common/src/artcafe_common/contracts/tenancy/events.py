"""Events that tenancy publishes when something of an organization changes."""

from enum import StrEnum

from artcafe_common.bus.command import Event
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import Plan


class RevocationReason(StrEnum):
    """Why a client's credentials no longer hold as they were."""

    DELETED = "deleted"
    SUSPENDED = "suspended"
    KEY_REGENERATED = "key_regenerated"
    PERMISSIONS_CHANGED = "permissions_changed"


class ClientRevoked(Event, frozen=True, kw_only=True):
    """A client's live connections must end now; `nkey_public` is the key that they were made with."""

    subject = "artcafe.events.client.revoked"
    publishers = ("tenancy",)
    consumers = ("identity", "tenancy")
    tenant_id: str
    client_id: str
    nkey_public: str
    reason: RevocationReason


class ClientChanged(Event, frozen=True, kw_only=True):
    """A client was created or changed: caches of it are stale."""

    subject = "artcafe.events.client.changed"
    publishers = ("tenancy",)
    tenant_id: str
    client_id: str
    nkey_public: str


class AgentRevoked(Event, frozen=True, kw_only=True):
    """An agent's live connections must end now."""

    subject = "artcafe.events.agent.revoked"
    publishers = ("tenancy",)
    consumers = ("tenancy",)
    tenant_id: str
    agent_id: str
    reason: RevocationReason


class MembershipChanged(Event, frozen=True, kw_only=True):
    """A user's place in a tenant changed; `role` is None when they left, and their sockets end."""

    subject = "artcafe.events.member.changed"
    publishers = ("tenancy",)
    tenant_id: str
    user_id: str
    role: Role | None


class ChannelChanged(Event, frozen=True, kw_only=True):
    """A channel was created, changed or deleted."""

    subject = "artcafe.events.channel.changed"
    publishers = ("tenancy",)
    consumers = ("tenancy-streams",)
    tenant_id: str
    channel_id: str
    deleted: bool


class SubjectChanged(Event, frozen=True, kw_only=True):
    """A subject was created, changed or deleted: its stream is to be brought into step."""

    subject = "artcafe.events.subject.changed"
    publishers = ("tenancy",)
    consumers = ("tenancy-streams",)
    tenant_id: str
    subject_id: str


class ChannelSubscribed(Event, frozen=True, kw_only=True):
    """A client subscribed to a channel over WebSocket, for the first time in a day on this gateway."""

    subject = "artcafe.events.subscription.made"
    publishers = ("gateway",)
    consumers = ("tenancy",)
    tenant_id: str
    client_id: str
    channel_id: str


class PlanChanged(Event, frozen=True, kw_only=True):
    """A tenant is on another plan."""

    subject = "artcafe.events.account.plan_changed"
    publishers = ("tenancy",)
    tenant_id: str
    plan: Plan
