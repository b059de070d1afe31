"""Organizations, called accounts in the REST API."""

from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand, PreconditionFailed
from artcafe_common.contracts.tenancy.fields import Description, DisplayName, Metadata
from artcafe_common.contracts.tenancy.list_query import ListQuery
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import Limits, Plan


class AccountNotFound(CommandError):
    """The organization does not exist, or the caller is not a member of it."""

    status = 404
    code = "account_not_found"
    title = "The account was not found"
    remedy = "Check the id with `GET /api/v1/accounts`."


class OrganizationLimitReached(CommandError):
    """The user created as many organizations as one person may create."""

    status = 409
    code = "organization_limit"
    title = "The number of organizations of one person is reached"
    remedy = "Use an organization that you have, or ask the operator for a higher limit."


class AccountStatus(StrEnum):
    """Whether an organization can be used.

    A suspended one keeps everything that it has, a deleted one until its `deletion_at`.
    """

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An organization; `role` is the caller's role in it.

    Of a deleted one, `deletion_at` is when its data are deleted; until then an owner can restore it.
    """

    account_id: str
    name: str
    description: str
    status: AccountStatus
    plan: Plan
    role: Role
    limits: Limits
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    deletion_at: datetime | None = None


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of organizations."""

    accounts: list[Account]
    next_cursor: str | None


class CreateAccount(Command[Account], frozen=True, kw_only=True):
    """Create an organization; the calling user becomes its owner."""

    subject = "artcafe.tenancy.account.create"
    raises = (OrganizationLimitReached,)
    deadline_s = 10.0
    name: DisplayName
    description: Description = ""
    metadata: Metadata = {}
    email: str = ""


class ListAccounts(ListQuery[Accounts], frozen=True, kw_only=True):
    """List the organizations of the calling user."""

    subject = "artcafe.tenancy.account.list"


class GetAccount(Query[Account], frozen=True, kw_only=True):
    """Get the caller's organization."""

    subject = "artcafe.tenancy.account.get"
    callers = ("gateway", "identity", "metering", "presence")
    raises = (AccountNotFound,)


class ResourceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of its plan an organization uses.

    `clients` includes agents. `storage_bytes` is what the streams of its subject records and of the channels' history
    reserve, which is what the plan limits.
    """

    clients: int
    channels: int
    storage_bytes: int


class GetResourceUsage(Query[ResourceUsage], frozen=True, kw_only=True):
    """Get how much of its plan the caller's organization uses."""

    subject = "artcafe.tenancy.account.resource_usage"
    raises = (AccountNotFound,)


class UpdateAccount(ConditionalCommand[Account], frozen=True, kw_only=True):
    """Update the given fields of the caller's organization."""

    subject = "artcafe.tenancy.account.update"
    raises = (AccountNotFound, PreconditionFailed)
    name: DisplayName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteAccount(ConditionalCommand[Account], frozen=True, kw_only=True):
    """Delete the caller's organization: its connections end at once, its data are deleted after 7 days.

    Idempotent: the time does not change with a repetition. Until then, an owner can restore the organization.
    """

    subject = "artcafe.tenancy.account.delete"
    raises = (AccountNotFound, PreconditionFailed)


class RestoreAccount(Command[Account], frozen=True, kw_only=True):
    """Take back the deletion of the caller's organization, which is then as it was. Idempotent."""

    subject = "artcafe.tenancy.account.restore"
    raises = (AccountNotFound,)
    idempotent = True


class ChangePlan(Command[Account], frozen=True, kw_only=True):
    """Change the plan of a tenant. An operator's command, not a route."""

    subject = "artcafe.tenancy.account.change_plan"
    callers = ("admin",)
    raises = (AccountNotFound,)
    idempotent = True
    tenant_id: str
    plan: Plan


class SetAccountStatus(Command[Account], frozen=True, kw_only=True):
    """Suspend a tenant, or let it resume. An operator's command, not a route."""

    subject = "artcafe.tenancy.account.set_status"
    callers = ("admin",)
    raises = (AccountNotFound,)
    idempotent = True
    tenant_id: str
    status: AccountStatus
