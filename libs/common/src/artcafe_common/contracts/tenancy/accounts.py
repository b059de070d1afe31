"""Organizations, called accounts in the REST API."""

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
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


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An organization; `role` is the caller's role in it."""

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


class CreateAccount(Command[Account], frozen=True, kw_only=True):
    """Create an organization; the calling user becomes its owner."""

    subject = "artcafe.tenancy.account.create"
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
    callers = ("gateway", "metering")
    raises = (AccountNotFound,)


class UpdateAccount(Command[Account], frozen=True, kw_only=True):
    """Update the given fields of the caller's organization."""

    subject = "artcafe.tenancy.account.update"
    raises = (AccountNotFound,)
    name: DisplayName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class ChangePlan(Command[Account], frozen=True, kw_only=True):
    """Change the plan of a tenant. An operator's command, not a route."""

    subject = "artcafe.tenancy.account.change_plan"
    callers = ("admin",)
    raises = (AccountNotFound,)
    idempotent = True
    tenant_id: str
    plan: Plan
