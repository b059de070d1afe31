"""The tables of tenancy, and what an item of each looks like."""

from datetime import datetime
from typing import Any

import msgspec

from artcafe_common.contracts.identity.agents import AgentKeyType
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.activity import ActivityStatus, ActivityType
from artcafe_common.contracts.tenancy.clients import ClientState
from artcafe_common.contracts.tenancy.fields import Metadata
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.contracts.tenancy.profiles import Theme
from artcafe_common.contracts.tenancy.subjects import Retention, SubjectStatus
from artcafe_common.plans import Plan
from artcafe_common.storage.tables import Index, TableSpec


class TenantItem(msgspec.Struct, frozen=True, kw_only=True):
    """An organization; the counts change only in transactions with what they count."""

    id: str
    name: str
    description: str
    plan: Plan
    metadata: Metadata
    owners_count: int
    clients_count: int = 0
    channels_count: int = 0
    created_at: datetime
    updated_at: datetime


class MemberItem(msgspec.Struct, frozen=True, kw_only=True):
    """A user's place in an organization."""

    user_id: str
    tenant_id: str
    email: str
    role: Role
    created_at: datetime
    updated_at: datetime


class NamedItem(msgspec.Struct, frozen=True, kw_only=True):
    """What has a name of its own in its tenant; `version` grows with each change of the owner's."""

    tenant_id: str
    name: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    version: int = 0


class CredentialItem(NamedItem, frozen=True, kw_only=True):
    """What connects.

    `online`, `seen_us` (its last sign of life) and `told_us` (when that was reported), both in
    microseconds since 1970, mirror what presence announced.
    """

    state: ClientState = ClientState.ACTIVE
    online: bool = False
    seen_us: int | None = None
    told_us: int | None = None


class ClientItem(CredentialItem, frozen=True, kw_only=True):
    """An agent program."""

    client_id: str
    nkey_public: str
    permissions: Permissions


class AgentItem(CredentialItem, frozen=True, kw_only=True):
    """An agent program of the legacy kind, with its SSH key."""

    id: str
    description: str
    public_key: str
    key_type: AgentKeyType
    fingerprint: str


class ChannelItem(NamedItem, frozen=True, kw_only=True):
    """A named topic."""

    channel_id: str
    description: str


class NameGuard(msgspec.Struct, frozen=True, kw_only=True):
    """Reserves a name in the table of the items that bear it, for the item `holder`.

    It carries no `tenant_id`, so that indexes skip it and no access by tenant can reach it.
    """

    holder: str


class ProfileItem(msgspec.Struct, frozen=True, kw_only=True):
    """A person's profile and preferences; None where they chose nothing.

    Each preference is an attribute of its own, so that two changes at once do not undo each other.
    """

    user_id: str
    name: str = ""
    avatar_url: str = ""
    theme: Theme | None = None
    language: str | None = None
    timezone: str | None = None
    notify_email: bool | None = None
    notify_dashboard: bool | None = None
    notify_client_offline: bool | None = None
    notify_quota: bool | None = None
    notify_security: bool | None = None
    updated_at: datetime | None = None


class SubscriptionItem(msgspec.Struct, frozen=True, kw_only=True):
    """That an agent (or client) listens to a channel, or did."""

    agent_id: str
    channel_id: str
    tenant_id: str
    subscribed_at: datetime


class SubjectItem(NamedItem, frozen=True, kw_only=True):
    """A subject record, or (without a name) the stream of the channels' history.

    `raw` are the NATS subjects that `stream` listens to. One that is `deleting` is gone for everybody
    but those who have yet to delete its stream. `refusal` is the code of the broker's.
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


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What a subject takes of its tenant: a name (normalised), raw subjects, storage."""

    name: str
    raw: list[str]
    max_bytes: int


class SubjectLedger(msgspec.Struct, frozen=True, kw_only=True):
    """All reservations of a tenant by subject, in one item: two that do not fit cannot both be made.

    It carries no `tenant_id`, so that indexes skip it and no access by tenant can reach it.
    """

    entries: dict[str, Reservation] = {}
    version: int = 0


class PendingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a change caused, as JSON."""

    subject: str
    body: str


class ActivityMark(msgspec.Struct, frozen=True, kw_only=True):
    """What the summary reads of an entry; `timestamp` has microseconds."""

    id: str
    tenant_id: str
    timestamp: str
    type: ActivityType
    status: ActivityStatus
    action: str


class ActivityItem(ActivityMark, frozen=True, kw_only=True):
    """An entry of the activity log; `expires_at` in Unix seconds.

    `pending` is there until its change and its `events` were announced, and it is in the
    PendingIndex only so long.
    """

    expires_at: int
    actor: str
    resource: str
    ip: str = ""
    user_agent: str = ""
    metadata: Metadata = {}
    events: list[PendingEvent] = []
    pending: str | None = None


PENDING = "yes"

TENANTS = TableSpec(name="tenants", item=TenantItem, partition="id")
MEMBERS = TableSpec(
    name="user-tenants",
    item=MemberItem,
    partition="user_id",
    sort="tenant_id",
    indexes=(Index(name="TenantIndex", partition="tenant_id", sort="user_id"),),
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
    CLIENTS,
    CHANNELS,
    PROFILES,
    SUBSCRIPTIONS,
    AGENTS,
    SUBJECTS,
    ACTIVITY,
]
