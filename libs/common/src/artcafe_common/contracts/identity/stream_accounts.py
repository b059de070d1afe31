"""The accounts with JetStream streams, for backups: which there are, and credentials to save or restore their streams."""

from enum import StrEnum

import msgspec

from artcafe_common.bus.command import Command, Query
from artcafe_common.contracts.identity.accounts import AccountMissing


class StreamAccess(StrEnum):
    """What issued credentials permit: to read snapshots of streams, or to replace streams by their snapshots."""

    BACKUP = "backup"
    RESTORE = "restore"


class StreamAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account of a tenant that may contain streams; `kind` names its purpose, so that it is found after a loss."""

    tenant_id: str
    kind: str
    account: str


class StreamAccountPage(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts in the order of their tenants; `next_tenant` is where the next page starts, None on the last one."""

    accounts: list[StreamAccount]
    next_tenant: str | None


class StreamCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user JWT, valid for some minutes, in the account for the caller's key pair."""

    jwt: str


class ListStreamAccounts(Query[StreamAccountPage], frozen=True, kw_only=True):
    """List the accounts that may contain streams, from a tenant on."""

    subject = "artcafe.identity.stream_accounts.list"
    callers = ("backup",)
    deadline_s = 15.0

    from_tenant: str = ""


class IssueStreamCredentials(Command[StreamCredentials], frozen=True, kw_only=True):
    """Issue short-lived credentials for the streams of one account."""

    subject = "artcafe.identity.stream_accounts.issue_credentials"
    callers = ("backup",)
    raises = (AccountMissing,)
    idempotent = True

    account: StreamAccount
    nkey_public: str
    access: StreamAccess
