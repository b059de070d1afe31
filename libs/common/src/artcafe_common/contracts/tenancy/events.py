"""Events about changes of an organization and its resources."""

from enum import StrEnum

from artcafe_common.bus.command import Event
from artcafe_common.contracts.tenancy.accounts import AccountStatus
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import Plan


class RevocationReason(StrEnum):
    """Why a client's connections must end."""

    DELETED = "deleted"
    SUSPENDED = "suspended"
    KEY_REGENERATED = "key_regenerated"
    PERMISSIONS_CHANGED = "permissions_changed"


class ClientRevoked(Event, frozen=True, kw_only=True):
    """The connections of a client that use the key `nkey_public` must end."""

    subject = "artcafe.events.client.revoked"
    publishers = ("tenancy",)
    consumers = ("identity", "tenancy")
    tenant_id: str
    client_id: str
    nkey_public: str
    reason: RevocationReason


class ClientChanged(Event, frozen=True, kw_only=True):
    """A client was created or changed, so cached copies of it are invalid."""

    subject = "artcafe.events.client.changed"
    publishers = ("tenancy",)
    tenant_id: str
    client_id: str
    nkey_public: str


class AgentRevoked(Event, frozen=True, kw_only=True):
    """The connections of an agent must end."""

    subject = "artcafe.events.agent.revoked"
    publishers = ("tenancy",)
    consumers = ("tenancy",)
    tenant_id: str
    agent_id: str
    reason: RevocationReason


class MembershipChanged(Event, frozen=True, kw_only=True):
    """A user's role in a tenant changed; None means that the user left, and the user's sockets must end.

    `previous_role` is None for a new member.
    """

    subject = "artcafe.events.member.changed"
    publishers = ("tenancy",)
    consumers = ("identity",)
    tenant_id: str
    user_id: str
    role: Role | None
    previous_role: Role | None = None


class ChannelChanged(Event, frozen=True, kw_only=True):
    """A channel was created, changed or deleted."""

    subject = "artcafe.events.channel.changed"
    publishers = ("tenancy",)
    consumers = ("tenancy-streams",)
    tenant_id: str
    channel_id: str
    deleted: bool


class SubjectChanged(Event, frozen=True, kw_only=True):
    """A subject record was created, changed or deleted, so its stream must be updated."""

    subject = "artcafe.events.subject.changed"
    publishers = ("tenancy",)
    consumers = ("tenancy-streams",)
    tenant_id: str
    subject_id: str


class ChannelSubscribed(Event, frozen=True, kw_only=True):
    """A client subscribed to a channel over WebSocket. A gateway publishes this once a day per client and channel."""

    subject = "artcafe.events.subscription.made"
    publishers = ("gateway",)
    consumers = ("tenancy",)
    tenant_id: str
    client_id: str
    channel_id: str


class AccountStatusChanged(Event, frozen=True, kw_only=True):
    """A tenant was suspended or deleted, so all its connections must end, or it can be used again."""

    subject = "artcafe.events.account.status_changed"
    publishers = ("tenancy",)
    consumers = ("identity",)
    tenant_id: str
    status: AccountStatus


class AccountExpired(Event, frozen=True, kw_only=True):
    """The grace of a deleted tenant is over, so every service deletes its data of it, and confirms that.

    Published again until all have confirmed. `round` numbers the passes over all data: a later one deletes what was
    still under way in an earlier one.
    """

    subject = "artcafe.events.account.expired"
    publishers = ("tenancy",)
    consumers = ("gateway", "identity", "metering-deletion", "presence")
    tenant_id: str
    round: int


class AccountDataDeleted(Event, frozen=True, kw_only=True):
    """A service has deleted its data of a tenant in a round of its deletion."""

    subject = "artcafe.events.deletion.confirmed"
    publishers = ("gateway", "identity", "metering", "presence")
    consumers = ("tenancy",)
    tenant_id: str
    round: int
    service: str


class PlanChanged(Event, frozen=True, kw_only=True):
    """The plan of a tenant changed."""

    subject = "artcafe.events.account.plan_changed"
    publishers = ("tenancy",)
    consumers = ("identity", "presence")
    tenant_id: str
    plan: Plan
