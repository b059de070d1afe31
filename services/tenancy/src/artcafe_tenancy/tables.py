"""The DynamoDB tables of tenancy and the structure of their items."""

from datetime import datetime
from typing import Any

import msgspec

from artcafe_common.contracts.identity.agents import AgentKeyType
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.accounts import AccountStatus
from artcafe_common.contracts.tenancy.activity import ActivityStatus, ActivityType
from artcafe_common.contracts.tenancy.clients import ClientState
from artcafe_common.contracts.tenancy.fields import Metadata
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.contracts.tenancy.profiles import Theme
from artcafe_common.contracts.tenancy.subjects import Retention, SubjectStatus
from artcafe_common.plans import Plan
from artcafe_common.storage.tables import Index, TableSpec

# The partitions of the PendingIndex: entries to publish, and deletions of organizations.
PENDING = "yes"
DELETIONS = "deletions"


class TenantItem(msgspec.Struct, frozen=True, kw_only=True):
    """An organization. Each counter changes in the transaction that adds or removes a counted item.

    `status` is missing in items of earlier releases; it does not tell of a deletion, whose states are described in
    `deletion_table`. `created_by` is the user whose number of organizations includes it; empty in items of earlier releases.
    """

    id: str
    name: str
    description: str
    plan: Plan
    metadata: Metadata
    owners_count: int
    status: AccountStatus = AccountStatus.ACTIVE
    deletion_at: datetime | None = None
    purging: bool = False
    created_by: str = ""
    clients_count: int = 0
    channels_count: int = 0
    created_at: datetime
    updated_at: datetime


class MemberItem(msgspec.Struct, frozen=True, kw_only=True):
    """A user's membership of an organization; `visited` once the person has acted for it."""

    user_id: str
    tenant_id: str
    email: str
    role: Role
    visited: bool = False
    created_at: datetime
    updated_at: datetime


class UniqueNameItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item whose name is unique in its tenant; `version` increments with each update by a user.

    `search_name` is the normalized name, in which lists search; None in items of earlier releases.
    """

    tenant_id: str
    name: str
    search_name: str | None = None
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    version: int = 0


class CredentialItem(UniqueNameItem, frozen=True, kw_only=True):
    """An item that can connect.

    `online`, `seen_us` (the last activity) and `told_us` (when presence reported it) are copied from
    presence events; times are microseconds since the epoch.
    """

    state: ClientState = ClientState.ACTIVE
    online: bool = False
    seen_us: int | None = None
    told_us: int | None = None


class ClientItem(CredentialItem, frozen=True, kw_only=True):
    """A client, which authenticates with an NKey."""

    client_id: str
    nkey_public: str
    permissions: Permissions


class AgentItem(CredentialItem, frozen=True, kw_only=True):
    """A legacy agent, which authenticates with an SSH key."""

    id: str
    description: str
    public_key: str
    key_type: AgentKeyType
    fingerprint: str


class ChannelItem(UniqueNameItem, frozen=True, kw_only=True):
    """A channel; `purged_seq` is the last message that was deleted by a purge, at `purged_at`."""

    channel_id: str
    description: str
    purged_seq: int = 0
    purged_at: datetime | None = None


class NameReservation(msgspec.Struct, frozen=True, kw_only=True):
    """Reserves a name for the item `holder`, in the same table as that item.

    It has no `tenant_id`, so indexes and reads by tenant exclude it.
    """

    holder: str


class KeyOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The client `holder` that has a public key, in the same table as that client (`nkey#…`).

    It has no `tenant_id`, so indexes and reads by tenant exclude it.
    """

    holder: str


class InvitationItem(msgspec.Struct, frozen=True, kw_only=True):
    """An open invitation of the person with a normalized e-mail address; `expires_at` in Unix seconds.

    `invited_by` is the actor who invited.
    """

    tenant_id: str
    email: str
    invitation_id: str
    role: Role
    invited_by: str
    invited_by_name: str = ""
    created_at: datetime
    expires_at: int


class ProfileItem(msgspec.Struct, frozen=True, kw_only=True):
    """A user's profile and preferences; None is an unset preference. `email` and `provider_name` are the identity provider's.

    `email_verified` is whether the provider says that the address is the user's.

    Each preference is a separate attribute, so concurrent updates do not overwrite each other.
    `organizations_count` is the number of organizations that the user created, None before the first one.
    """

    user_id: str
    name: str = ""
    email: str = ""
    email_verified: bool = False
    provider_name: str = ""
    avatar_url: str = ""
    theme: Theme | None = None
    language: str | None = None
    timezone: str | None = None
    notify_email: bool | None = None
    notify_dashboard: bool | None = None
    notify_client_offline: bool | None = None
    notify_quota: bool | None = None
    notify_security: bool | None = None
    organizations_count: int | None = None
    updated_at: datetime | None = None


class SubscriptionItem(msgspec.Struct, frozen=True, kw_only=True):
    """A channel subscription of a client or agent, current or past."""

    agent_id: str
    channel_id: str
    tenant_id: str
    subscribed_at: datetime


class SubjectItem(UniqueNameItem, frozen=True, kw_only=True):
    """A subject record and its stream; without a name, the stream of the channels' history.

    `raw` are the NATS subjects of the stream. `refusal` is the error code with which the broker refused
    the stream. The states of a record are described in `subject_table`.
    """

    subject_id: str
    pattern: str
    raw: list[str]
    stream: str
    retention: Retention
    max_messages_per_subject: int | None = None
    description: str
    status: SubjectStatus = SubjectStatus.PENDING
    refusal: str | None = None
    deleting: bool = False


class SubjectReservation(msgspec.Struct, frozen=True, kw_only=True):
    """The normalized name, NATS subjects and storage that a subject reserves in its tenant."""

    name: str
    raw: list[str]
    max_bytes: int


class SubjectLedger(msgspec.Struct, frozen=True, kw_only=True):
    """All reservations of a tenant by subject id, in one item so that conflicting ones cannot both succeed.

    It has no `tenant_id`, so indexes and reads by tenant exclude it.
    """

    entries: dict[str, SubjectReservation] = {}
    version: int = 0


class PendingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A NATS subject and the event to publish on it, as JSON."""

    subject: str
    body: str


class DeletionItem(msgspec.Struct, frozen=True, kw_only=True):
    """The deletion of the organization `holder`, in the table of activities, whose PendingIndex lists it.

    `timestamp` is when the next step is due, in the form of activities' times. In each `round` the services confirm
    that they deleted their data. It has no `tenant_id`, so indexes and reads by tenant exclude it.
    """

    id: str
    holder: str
    timestamp: str
    pending: str = DELETIONS
    round: int = 0
    gateway: bool = False
    identity: bool = False
    metering: bool = False
    presence: bool = False


class ActivitySummaryFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of an activity that its summary reads; `timestamp` has microseconds."""

    id: str
    tenant_id: str
    timestamp: str
    type: ActivityType
    status: ActivityStatus
    action: str


class ActivityItem(ActivitySummaryFields, frozen=True, kw_only=True):
    """An entry of the activity log; `expires_at` in Unix seconds.

    `pending` and `events` are set until the outbox has published the entry; the PendingIndex contains
    only such entries.
    """

    expires_at: int
    actor: str
    resource: str
    ip: str = ""
    user_agent: str = ""
    metadata: Metadata = {}
    events: list[PendingEvent] = []
    pending: str | None = None


TENANTS = TableSpec(name="tenants", item=TenantItem, partition="id")
MEMBERS = TableSpec(
    name="user-tenants",
    item=MemberItem,
    partition="user_id",
    sort="tenant_id",
    indexes=(Index(name="TenantIndex", partition="tenant_id", sort="user_id"),),
)
INVITATIONS = TableSpec(
    name="invitations",
    item=InvitationItem,
    partition="tenant_id",
    sort="email",
    indexes=(Index(name="EmailIndex", partition="email", sort="invitation_id"),),
    ttl="expires_at",
)
CLIENTS = TableSpec(
    name="clients",
    item=ClientItem,
    partition="client_id",
    indexes=(
        Index(name="TenantIndex", partition="tenant_id", sort="client_id"),
        Index(name="NKeyIndex", partition="nkey_public"),
    ),
)
CHANNELS = TableSpec(
    name="channels",
    item=ChannelItem,
    partition="channel_id",
    indexes=(Index(name="TenantIndex", partition="tenant_id", sort="channel_id"),),
)
PROFILES = TableSpec(name="user-profiles", item=ProfileItem, partition="user_id")
SUBSCRIPTIONS = TableSpec(
    name="channel-subscriptions",
    item=SubscriptionItem,
    partition="agent_id",
    sort="channel_id",
    indexes=(Index(name="ChannelIndex", partition="channel_id", sort="agent_id"),),
)
AGENTS = TableSpec(
    name="agents",
    item=AgentItem,
    partition="id",
    indexes=(Index(name="TenantIndex", partition="tenant_id", sort="id"),),
)
SUBJECTS = TableSpec(
    name="subjects",
    item=SubjectItem,
    partition="subject_id",
    indexes=(Index(name="TenantIndex", partition="tenant_id", sort="subject_id"),),
)
ACTIVITY = TableSpec(
    name="activity-logs",
    item=ActivityItem,
    partition="id",
    indexes=(
        Index(name="TenantIndex", partition="tenant_id", sort="timestamp"),
        Index(name="PendingIndex", partition="pending", sort="timestamp"),
    ),
    ttl="expires_at",
)

TABLES: list[TableSpec[Any]] = [
    TENANTS,
    MEMBERS,
    INVITATIONS,
    CLIENTS,
    CHANNELS,
    PROFILES,
    SUBSCRIPTIONS,
    AGENTS,
    SUBJECTS,
    ACTIVITY,
]
