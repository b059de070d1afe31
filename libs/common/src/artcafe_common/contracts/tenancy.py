"""tenancy: organizations and what they own."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.broker.subjects import BadSubject, ForbiddenSubject
from artcafe_common.bus.command import Command, Event
from artcafe_common.bus.errors import CommandError, Forbidden, InvalidCursor
from artcafe_common.contracts.identity import (
    AgentKeyType,
    KeyRateExceeded,
    Permissions,
    StreamRefused,
    SubjectOverlap,
)
from artcafe_common.plans import Limits, Plan

# No control character anywhere, and no white space at either end. In Python `$` also stands before a
# last line break, hence what follows it; `\Z` is unknown to JSON Schema, where these are shown.
_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
DisplayName = Annotated[str, Meta(min_length=1, max_length=100, pattern=rf"^(?!\s){_LINE}+(?<!\s)$(?!\n)")]
# Whatever the OpenID provider chose, as long as it can stand in a path.
UserId = Annotated[
    str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:|@+=~-]*$(?!\n)")
]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^\s\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Description = Annotated[str, Meta(max_length=1000)]
Limit = Annotated[int, Meta(ge=1, le=200)]
CursorText = Annotated[str, Meta(max_length=1024)]
Patterns = Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=100)]
Metadata = dict[str, Any]
MAX_METADATA_BYTES = 16 * 1024
PublicKeyText = Annotated[str, Meta(min_length=1, max_length=16 * 1024)]


class AccountNotFound(CommandError):
    """No such organization among the caller's."""

    status = 404
    code = "account_not_found"
    title = "The account was not found"


class TenantRequired(CommandError):
    """The user belongs to several organizations and chose none."""

    status = 400
    code = "tenant_required"
    title = "Choose an organization with X-Tenant-Id or tenant_id"


class ClientNotFound(CommandError):
    """No such client in the caller's tenant."""

    status = 404
    code = "client_not_found"
    title = "The client was not found"


class AgentNotFound(CommandError):
    """No such agent in the caller's tenant."""

    status = 404
    code = "agent_not_found"
    title = "The agent was not found"


class ChannelNotFound(CommandError):
    """No such channel in the caller's tenant."""

    status = 404
    code = "channel_not_found"
    title = "The channel was not found"


class SubjectNotFound(CommandError):
    """No such subject record in the caller's tenant."""

    status = 404
    code = "subject_not_found"
    title = "The subject was not found"


class MemberNotFound(CommandError):
    """No such member in the account."""

    status = 404
    code = "member_not_found"
    title = "The member was not found"


class MemberExists(CommandError):
    """The user is a member already."""

    status = 409
    code = "member_exists"
    title = "The user is a member already"


class LastOwner(CommandError):
    """An account keeps at least one owner."""

    status = 409
    code = "last_owner"
    title = "The last owner cannot leave"


class NameTaken(CommandError):
    """Another one of the tenant bears this name."""

    status = 409
    code = "name_taken"
    title = "The name is taken"


class PlanLimitReached(CommandError):
    """The plan allows no more of these."""

    status = 409
    code = "plan_limit"
    title = "The plan's limit is reached"


class KeyConflict(CommandError):
    """Another new key was given to the client at the same moment; that one holds."""

    status = 409
    code = "key_conflict"
    title = "The client was given another new key at the same moment"


class InvalidPermission(CommandError):
    """A permission pattern that is malformed or leaves the tenant."""

    status = 400
    code = "invalid_permission"
    title = "A permission pattern is malformed or leaves the organization"


class Role(StrEnum):
    """What a member may do: viewers read, members also publish and manage clients and channels,
    admins also manage members, owners everything.
    """

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class ClientState(StrEnum):
    """What a client's owner set it to."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class ClientStatus(StrEnum):
    """What a client is seen as."""

    ONLINE = "online"
    OFFLINE = "offline"
    SUSPENDED = "suspended"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An organization; `role` is the caller's in it."""

    account_id: str
    name: str
    description: str
    plan: Plan
    role: Role
    limits: Limits
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of organizations."""

    accounts: list[Account]
    next_cursor: str | None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A user's place in an organization."""

    user_id: str
    email: str
    role: Role
    created_at: datetime
    updated_at: datetime


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """A page of members."""

    members: list[Member]
    next_cursor: str | None


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """That a user acts for a tenant, and as what."""

    tenant_id: str
    user_id: str
    role: Role
    plan: Plan


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An agent program; never its seed."""

    client_id: str
    tenant_id: str
    name: str
    nkey_public: str
    permissions: Permissions
    status: ClientStatus
    last_seen: datetime | None
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Clients(msgspec.Struct, frozen=True, kw_only=True):
    """A page of clients."""

    clients: list[Client]
    next_cursor: str | None


class ClientCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A client with a new key; the seed is shown this once."""

    client: Client
    nkey_seed: str


class ClientCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What authentication needs to know of a client."""

    client_id: str
    tenant_id: str
    name: str
    nkey_public: str
    state: ClientState
    permissions: Permissions


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """A program of the legacy kind; `public_key` in OpenSSH's form, whatever it was given in."""

    agent_id: str
    tenant_id: str
    name: str
    description: str
    public_key: str
    key_type: AgentKeyType
    fingerprint: str
    status: ClientStatus
    last_seen: datetime | None
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of agents."""

    agents: list[Agent]
    next_cursor: str | None


class AgentCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A new agent; `private_key` (PEM) only where the pair was made for it, and this once."""

    agent: Agent
    private_key: str | None = None


class AgentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How many agents there are, by what they are seen as."""

    total: int
    online: int
    offline: int
    suspended: int


class AgentCredential(msgspec.Struct, frozen=True, kw_only=True):
    """What authentication needs to know of an agent."""

    agent_id: str
    tenant_id: str
    name: str
    public_key: str
    fingerprint: str
    state: ClientState


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A named topic; `subject` is where its messages travel."""

    channel_id: str
    tenant_id: str
    name: str
    description: str
    subject: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """A page of channels."""

    channels: list[Channel]
    next_cursor: str | None


# -- membership: the gate of every request of a person ---------------------------------------


class ResolveMembership(Command[Membership], frozen=True, kw_only=True):
    """Which tenant a user acts for: the one asked for, or their only one.

    Forbidden for a tenant that they are not a member of, whether it exists or not, and for a
    user without any; TenantRequired when there are several and none was asked for.
    """

    subject = "artcafe.tenancy.membership.resolve"
    raises = (Forbidden, TenantRequired)
    idempotent = True
    user_id: str
    tenant_id: str | None = None


# -- accounts ----------------------------------------------------------------------------------


class CreateAccount(Command[Account], frozen=True, kw_only=True):
    """Found an organization; the calling user becomes its owner."""

    subject = "artcafe.tenancy.account.create"
    deadline_s = 10.0
    name: DisplayName
    description: Description = ""
    metadata: Metadata = {}
    email: str = ""


class ListAccounts(Command[Accounts], frozen=True, kw_only=True):
    """The organizations of the calling user."""

    subject = "artcafe.tenancy.account.list"
    raises = (InvalidCursor,)
    idempotent = True
    limit: Limit = 50
    cursor: CursorText | None = None


class GetAccount(Command[Account], frozen=True, kw_only=True):
    """The caller's tenant."""

    subject = "artcafe.tenancy.account.get"
    raises = (AccountNotFound,)
    idempotent = True


class UpdateAccount(Command[Account], frozen=True, kw_only=True):
    """Change what is given of the caller's tenant."""

    subject = "artcafe.tenancy.account.update"
    raises = (AccountNotFound,)
    name: DisplayName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class ChangePlan(Command[Account], frozen=True, kw_only=True):
    """Put a tenant on another plan: an operator's command, not a route."""

    subject = "artcafe.tenancy.account.change_plan"
    raises = (AccountNotFound,)
    idempotent = True
    tenant_id: str
    plan: Plan


# -- members -----------------------------------------------------------------------------------


class AddMember(Command[Member], frozen=True, kw_only=True):
    """Make a user a member of the caller's tenant."""

    subject = "artcafe.tenancy.member.add"
    raises = (MemberExists, Forbidden)
    user_id: UserId
    email: Email = ""
    role: Role = Role.MEMBER


class ListMembers(Command[Members], frozen=True, kw_only=True):
    """The members of the caller's tenant."""

    subject = "artcafe.tenancy.member.list"
    raises = (InvalidCursor,)
    idempotent = True
    limit: Limit = 50
    cursor: CursorText | None = None


class UpdateMember(Command[Member], frozen=True, kw_only=True):
    """Change a member's role; only an owner makes or unmakes owners."""

    subject = "artcafe.tenancy.member.update"
    raises = (MemberNotFound, LastOwner, Forbidden)
    user_id: str
    role: Role


class RemoveMember(Command[Member], frozen=True, kw_only=True):
    """Take a user out of the caller's tenant; their live connections end."""

    subject = "artcafe.tenancy.member.remove"
    raises = (MemberNotFound, LastOwner, Forbidden)
    user_id: str


# -- clients -----------------------------------------------------------------------------------


class CreateClient(Command[ClientCreated], frozen=True, kw_only=True):
    """Register a client of the caller's tenant with a new key."""

    subject = "artcafe.tenancy.client.create"
    raises = (NameTaken, PlanLimitReached, InvalidPermission, KeyRateExceeded)
    deadline_s = 10.0
    name: DisplayName
    permissions: Permissions | None = None
    metadata: Metadata = {}


class ListClients(Command[Clients], frozen=True, kw_only=True):
    """The clients of the caller's tenant, of one status if asked for."""

    subject = "artcafe.tenancy.client.list"
    raises = (InvalidCursor,)
    idempotent = True
    limit: Limit = 50
    cursor: CursorText | None = None
    status: ClientStatus | None = None


class GetClient(Command[Client], frozen=True, kw_only=True):
    """One client of the caller's tenant."""

    subject = "artcafe.tenancy.client.get"
    raises = (ClientNotFound,)
    idempotent = True
    client_id: str


class UpdateClient(Command[Client], frozen=True, kw_only=True):
    """Change what is given; suspending ends its live connections, and so do new permissions."""

    subject = "artcafe.tenancy.client.update"
    raises = (ClientNotFound, NameTaken, InvalidPermission)
    client_id: str
    name: DisplayName | UnsetType = UNSET
    status: ClientState | UnsetType = UNSET
    permissions: Permissions | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteClient(Command[Client], frozen=True, kw_only=True):
    """Remove a client; its live connections end within a second."""

    subject = "artcafe.tenancy.client.delete"
    raises = (ClientNotFound,)
    client_id: str


class RegenerateClientKey(Command[ClientCreated], frozen=True, kw_only=True):
    """Give a client a new key; connections made with the old one end within a second."""

    subject = "artcafe.tenancy.client.regenerate_key"
    raises = (ClientNotFound, KeyConflict, KeyRateExceeded)
    client_id: str


class FindCredential(Command[ClientCredential], frozen=True, kw_only=True):
    """The client of a public key or of an id, whatever its tenant: identity asks, to authenticate."""

    subject = "artcafe.tenancy.client.find_credential"
    raises = (ClientNotFound,)
    idempotent = True
    nkey_public: str | None = None
    client_id: str | None = None


# -- agents (legacy) ---------------------------------------------------------------------------


class CreateAgent(Command[AgentCreated], frozen=True, kw_only=True):
    """Register an agent of the caller's tenant by its public key, or with a new pair of `key_type`."""

    subject = "artcafe.tenancy.agent.create"
    raises = (NameTaken, PlanLimitReached, KeyRateExceeded)
    deadline_s = 10.0
    name: DisplayName
    public_key: PublicKeyText | None = None
    key_type: AgentKeyType = AgentKeyType.ED25519
    description: Description = ""
    metadata: Metadata = {}


class ListAgents(Command[Agents], frozen=True, kw_only=True):
    """The agents of the caller's tenant, of one status if asked for."""

    subject = "artcafe.tenancy.agent.list"
    raises = (InvalidCursor,)
    idempotent = True
    limit: Limit = 50
    cursor: CursorText | None = None
    status: ClientStatus | None = None


class GetAgent(Command[Agent], frozen=True, kw_only=True):
    """One agent of the caller's tenant."""

    subject = "artcafe.tenancy.agent.get"
    raises = (AgentNotFound,)
    idempotent = True
    agent_id: str


class UpdateAgent(Command[Agent], frozen=True, kw_only=True):
    """Change what is given; suspending ends its live connections, and so does another key."""

    subject = "artcafe.tenancy.agent.update"
    raises = (AgentNotFound, NameTaken)
    agent_id: str
    name: DisplayName | UnsetType = UNSET
    status: ClientState | UnsetType = UNSET
    public_key: PublicKeyText | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteAgent(Command[Agent], frozen=True, kw_only=True):
    """Remove an agent; its live connections end within a second."""

    subject = "artcafe.tenancy.agent.delete"
    raises = (AgentNotFound,)
    agent_id: str


class MigrateAgent(Command[Client], frozen=True, kw_only=True):
    """Make a client of an agent, under its id: an operator's command, not a route.

    Its name, state and metadata stay; its live connections end.
    """

    subject = "artcafe.tenancy.agent.migrate"
    raises = (AgentNotFound, NameTaken)
    agent_id: str
    nkey_public: str


class SummarizeAgents(Command[AgentSummary], frozen=True, kw_only=True):
    """Count the agents of the caller's tenant."""

    subject = "artcafe.tenancy.agent.summarize"
    idempotent = True
    deadline_s = 10.0


class FindAgentCredential(Command[AgentCredential], frozen=True, kw_only=True):
    """The agent of an id, whatever its tenant: identity asks, to authenticate."""

    subject = "artcafe.tenancy.agent.find_credential"
    raises = (AgentNotFound,)
    idempotent = True
    agent_id: str


# -- channels ----------------------------------------------------------------------------------


class CreateChannel(Command[Channel], frozen=True, kw_only=True):
    """Open a channel in the caller's tenant."""

    subject = "artcafe.tenancy.channel.create"
    raises = (NameTaken, PlanLimitReached)
    name: DisplayName
    description: Description = ""
    metadata: Metadata = {}


class ListChannels(Command[Channels], frozen=True, kw_only=True):
    """The channels of the caller's tenant."""

    subject = "artcafe.tenancy.channel.list"
    raises = (InvalidCursor,)
    idempotent = True
    limit: Limit = 50
    cursor: CursorText | None = None


class GetChannel(Command[Channel], frozen=True, kw_only=True):
    """One channel of the caller's tenant."""

    subject = "artcafe.tenancy.channel.get"
    raises = (ChannelNotFound,)
    idempotent = True
    channel_id: str


class UpdateChannel(Command[Channel], frozen=True, kw_only=True):
    """Change what is given of a channel; its id and subject stay."""

    subject = "artcafe.tenancy.channel.update"
    raises = (ChannelNotFound, NameTaken)
    channel_id: str
    name: DisplayName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteChannel(Command[Channel], frozen=True, kw_only=True):
    """Close a channel."""

    subject = "artcafe.tenancy.channel.delete"
    raises = (ChannelNotFound,)
    channel_id: str


# -- who subscribes to a channel -----------------------------------------------------------------


class ChannelSubscriber(msgspec.Struct, frozen=True, kw_only=True):
    """A client that listens to a channel over so many WebSockets now, or that did so before.

    `subscribed_at` is when it was last recorded, once a day at most; None when it is not recorded yet.
    """

    client_id: str
    connections: int
    subscribed_at: datetime | None


class ChannelSubscribers(msgspec.Struct, frozen=True, kw_only=True):
    """A page of subscribers, by client id."""

    subscribers: list[ChannelSubscriber]
    next_cursor: str | None


class ListChannelSubscribers(Command[ChannelSubscribers], frozen=True, kw_only=True):
    """Who subscribes to a channel: those recorded, and those in `live` (client id: connections)."""

    subject = "artcafe.tenancy.channel.subscribers"
    raises = (ChannelNotFound, InvalidCursor)
    idempotent = True
    channel_id: str
    live: dict[str, int] = {}
    limit: Limit = 50
    cursor: CursorText | None = None


# -- subjects ----------------------------------------------------------------------------------

# What a stream keeps where its owner does not say, in bytes.
DEFAULT_MAX_BYTES = 64 * 1024**2
MAX_SUBJECTS = 200
# As much as the broker counts up to, and as JSON's readers do.
_MAX_NUMBER = 2**53 - 1
# The broker counts in nanoseconds.
_MAX_AGE_S = 100 * 365 * 24 * 3600
Pattern = Annotated[str, Meta(min_length=1, max_length=255)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a subject's stream keeps: whichever limit is reached first; None is no limit."""

    max_age_s: Annotated[int, Meta(ge=1, le=_MAX_AGE_S)] | None = None
    max_messages: Annotated[int, Meta(ge=1, le=_MAX_NUMBER)] | None = None
    max_bytes: Annotated[int, Meta(ge=1024, le=_MAX_NUMBER)] = DEFAULT_MAX_BYTES


class SubjectStatus(StrEnum):
    """pending: its stream is being made or changed; active: it is as it should be; refused: the
    broker does not take it.
    """

    PENDING = "pending"
    ACTIVE = "active"
    REFUSED = "refused"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A subject pattern whose messages are kept, in the stream `stream`."""

    subject_id: str
    tenant_id: str
    name: str
    pattern: str
    retention: Retention
    status: SubjectStatus
    stream: str
    description: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """A page of subjects."""

    subjects: list[Subject]
    next_cursor: str | None


class CreateSubject(Command[Subject], frozen=True, kw_only=True):
    """Keep the messages of a pattern; `pending` when its stream is not there yet, but will be."""

    subject = "artcafe.tenancy.subject.create"
    raises = (NameTaken, PlanLimitReached, SubjectOverlap, StreamRefused, BadSubject, ForbiddenSubject)
    deadline_s = 10.0
    name: DisplayName
    pattern: Pattern
    retention: Retention = Retention()
    description: Description = ""
    metadata: Metadata = {}


class ListSubjects(Command[Subjects], frozen=True, kw_only=True):
    """The subjects of the caller's tenant."""

    subject = "artcafe.tenancy.subject.list"
    raises = (InvalidCursor,)
    idempotent = True
    limit: Limit = 50
    cursor: CursorText | None = None


class GetSubject(Command[Subject], frozen=True, kw_only=True):
    """One subject of the caller's tenant."""

    subject = "artcafe.tenancy.subject.get"
    raises = (SubjectNotFound,)
    idempotent = True
    subject_id: str


class UpdateSubject(Command[Subject], frozen=True, kw_only=True):
    """Change what is given, `retention` as a whole; what was kept stays as far as its limits allow."""

    subject = "artcafe.tenancy.subject.update"
    raises = (
        SubjectNotFound,
        NameTaken,
        PlanLimitReached,
        SubjectOverlap,
        StreamRefused,
        BadSubject,
        ForbiddenSubject,
    )
    deadline_s = 10.0
    subject_id: str
    name: DisplayName | UnsetType = UNSET
    pattern: Pattern | UnsetType = UNSET
    retention: Retention | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteSubject(Command[Subject], frozen=True, kw_only=True):
    """Delete a subject, its stream and all that it kept."""

    subject = "artcafe.tenancy.subject.delete"
    raises = (SubjectNotFound,)
    deadline_s = 10.0
    subject_id: str


# -- events ------------------------------------------------------------------------------------


class RevocationReason(StrEnum):
    """Why a client's credentials no longer hold as they were."""

    DELETED = "deleted"
    SUSPENDED = "suspended"
    KEY_REGENERATED = "key_regenerated"
    PERMISSIONS_CHANGED = "permissions_changed"


class ClientRevoked(Event, frozen=True, kw_only=True):
    """A client's live connections must end now; `nkey_public` is the key that they were made with."""

    subject = "artcafe.events.client.revoked"
    tenant_id: str
    client_id: str
    nkey_public: str
    reason: RevocationReason


class ClientChanged(Event, frozen=True, kw_only=True):
    """A client was created or changed: caches of it are stale."""

    subject = "artcafe.events.client.changed"
    tenant_id: str
    client_id: str
    nkey_public: str


class AgentRevoked(Event, frozen=True, kw_only=True):
    """An agent's live connections must end now."""

    subject = "artcafe.events.agent.revoked"
    tenant_id: str
    agent_id: str
    reason: RevocationReason


class MembershipChanged(Event, frozen=True, kw_only=True):
    """A user's place in a tenant changed; `role` is None when they left, and their sockets end."""

    subject = "artcafe.events.member.changed"
    tenant_id: str
    user_id: str
    role: Role | None


class ChannelChanged(Event, frozen=True, kw_only=True):
    """A channel was created, changed or deleted."""

    subject = "artcafe.events.channel.changed"
    tenant_id: str
    channel_id: str
    deleted: bool


class SubjectChanged(Event, frozen=True, kw_only=True):
    """A subject was created, changed or deleted: its stream is to be brought into step."""

    subject = "artcafe.events.subject.changed"
    tenant_id: str
    subject_id: str


class ChannelSubscribed(Event, frozen=True, kw_only=True):
    """A client subscribed to a channel over WebSocket, for the first time in a day on this gateway."""

    subject = "artcafe.events.subscription.made"
    tenant_id: str
    client_id: str
    channel_id: str


class PlanChanged(Event, frozen=True, kw_only=True):
    """A tenant is on another plan."""

    subject = "artcafe.events.account.plan_changed"
    tenant_id: str
    plan: Plan
