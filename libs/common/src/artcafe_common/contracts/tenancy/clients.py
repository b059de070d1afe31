"""Clients, which authenticate with an NKey."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import KeyRateExceeded, Permissions, StreamAccess
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand, PreconditionFailed
from artcafe_common.contracts.tenancy.fields import (
    DisplayName,
    Metadata,
    NamePart,
    NameTaken,
    PlanLimitReached,
)
from artcafe_common.contracts.tenancy.list_query import ListQuery


class ClientNotFound(CommandError):
    """The organization has no client with this id."""

    status = 404
    code = "client_not_found"
    title = "The client was not found"
    remedy = "Check the id with `GET /api/v1/clients`."


class KeyConflict(CommandError):
    """Another request replaced the client's key at the same time; only the key of that request is valid."""

    status = 409
    code = "key_conflict"
    title = "The key was replaced by another request"
    remedy = "Use the key of the other request, or regenerate the key again."


class InvalidPermission(CommandError):
    """A pattern is malformed, or includes subjects that are not the organization's; or `streams` needs wider patterns."""

    status = 400
    code = "invalid_permission"
    title = "A permission is not valid"
    remedy = "Use patterns of your organization's subjects, such as `orders.>`. Give `streams` the value `manage` only together with `>` in both lists."


class ClientState(StrEnum):
    """The state of a client that its organization sets."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class ClientStatus(StrEnum):
    """The status of a client: its state, or else its presence."""

    ONLINE = "online"
    OFFLINE = "offline"
    SUSPENDED = "suspended"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A client."""

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


class CreatedClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client with a new key; the seed is returned only here."""

    client: Client
    nkey_seed: str


class CreateClient(Command[CreatedClient], frozen=True, kw_only=True):
    """Create a client with a new key in the caller's organization."""

    subject = "artcafe.tenancy.client.create"
    raises = (NameTaken, PlanLimitReached, InvalidPermission, KeyRateExceeded)
    deadline_s = 10.0
    name: DisplayName
    permissions: Permissions | None = None
    metadata: Metadata = {}


class ListClients(ListQuery[Clients], frozen=True, kw_only=True):
    """List the clients of the caller's organization, optionally of one status, or whose name contains a text.

    Upper and lower case are equal in `name`. A page of a search may be short or empty without being the last.
    """

    subject = "artcafe.tenancy.client.list"
    status: ClientStatus | None = None
    name: NamePart | None = None


class GetClient(Query[Client], frozen=True, kw_only=True):
    """Get a client of the caller's organization."""

    subject = "artcafe.tenancy.client.get"
    raises = (ClientNotFound,)
    client_id: str


class PermissionsUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New permissions; what is left out stays as it is."""

    publish: list[str] | UnsetType = UNSET
    subscribe: list[str] | UnsetType = UNSET
    streams: StreamAccess | UnsetType = UNSET


class PermissionAction(StrEnum):
    """What a client does with a subject."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


class PermissionExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a client may use a subject, by which of its patterns, and the reason in words."""

    allowed: bool
    pattern: str | None
    why: str


class ExplainPermission(Query[PermissionExplanation], frozen=True, kw_only=True):
    """Explain whether a client may publish or subscribe to a subject; nothing is published."""

    subject = "artcafe.tenancy.client.explain_permission"
    raises = (ClientNotFound,)
    client_id: str
    action: PermissionAction
    # The class variable has the name that the field has on the wire.
    tested: Annotated[str, Meta(max_length=1000)] = msgspec.field(name="subject")


class UpdateClient(ConditionalCommand[Client], frozen=True, kw_only=True):
    """Update the given fields of a client. Suspending it or changing its permissions ends its connections."""

    subject = "artcafe.tenancy.client.update"
    raises = (ClientNotFound, NameTaken, InvalidPermission, PreconditionFailed)
    client_id: str
    name: DisplayName | UnsetType = UNSET
    status: ClientState | UnsetType = UNSET
    permissions: PermissionsUpdate | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteClient(ConditionalCommand[Client], frozen=True, kw_only=True):
    """Delete a client; its connections end within a second."""

    subject = "artcafe.tenancy.client.delete"
    raises = (ClientNotFound, PreconditionFailed)
    client_id: str


class RegenerateClientKey(Command[CreatedClient], frozen=True, kw_only=True):
    """Replace a client's key; connections that use the old key end within a second."""

    subject = "artcafe.tenancy.client.regenerate_key"
    raises = (ClientNotFound, KeyConflict, KeyRateExceeded)
    client_id: str
