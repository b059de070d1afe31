"""NATS accounts of organizations, and their credentials."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from artcafe_common.bus.command import Command, Query, Signal
from artcafe_common.bus.errors import CommandError, Forbidden, InvalidCursor
from artcafe_common.contracts.identity.clients import IssuedKeyPair, KeyRateExceeded
from artcafe_common.plans import Plan


class AccountMissing(CommandError):
    """No NATS account exists for the organization or the public key."""

    status = 404
    code = "account_missing"
    title = "The broker account does not exist"
    remedy = "Check the id of the organization. If it is correct, ask the operator."


class SigningKeyNotFound(CommandError):
    """The organization has no signing key with this public key."""

    status = 404
    code = "signing_key_not_found"
    title = "The signing key was not found"
    remedy = "Check the key with `GET /api/v1/accounts/{account_id}/signing-keys`: it may have been replaced or revoked."


class BrokerAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's NATS account; `platform_key` is the signing key in it that identity owns."""

    account: str
    tenant_id: str
    platform_key: str


class AccountComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The number of accounts, and of those that are missing or different at the broker, with some tenant ids."""

    known: int
    differing: int
    examples: list[str]


class BridgeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user JWT in a tenant's account for a gateway's key pair."""

    jwt: str
    account: str


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key that an organization owns.

    `issued_by` is the id of the user who issued it. Both `issued` fields are null for a key of an earlier release.
    """

    nkey_public: str
    issued_by: str | None = None
    issued_at: datetime | None = None


class SigningKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The signing keys that an organization owns."""

    signing_keys: list[SigningKey]
    next_cursor: str | None


class EnsureAccount(Command[BrokerAccount], frozen=True, kw_only=True):
    """Create a tenant's NATS account with its plan's limits, or update the limits."""

    subject = "artcafe.identity.account.ensure"
    callers = ("tenancy",)
    idempotent = True
    tenant_id: str
    plan: Plan


class AccountUpdated(Signal, frozen=True, kw_only=True):
    """An instance of identity changed an account, so the others' copies of it are invalid."""

    subject = "artcafe.identity.account.updated"
    publishers = ("identity",)
    tenant_id: str


class SealedSeeds(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts have seeds that were encrypted again, and how many still have to be."""

    encrypted: int
    remaining: int


class OperatorKeyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The public key of the operator with which one process of identity signs accounts."""

    server_id: str
    operator: str


class OperatorKeyRequested(Signal, frozen=True, kw_only=True):
    """Asks every process of identity for an OperatorKeyReport."""

    subject = "artcafe.identity.operator_key"
    publishers = ("admin",)


class CompareAccounts(Command[AccountComparison], frozen=True, kw_only=True):
    """Compare every account with the broker's copy; with `push`, send those that differ to the broker."""

    subject = "artcafe.identity.account.compare"
    callers = ("admin", "backup")
    deadline_s = 30.0
    idempotent = True
    push: bool = False


class FindAccount(Query[BrokerAccount], frozen=True, kw_only=True):
    """Find the tenant of a NATS account by its public key."""

    subject = "artcafe.identity.account.find"
    callers = ("metering", "presence")
    raises = (AccountMissing,)
    account: str


class IssueAccountKey(Command[IssuedKeyPair], frozen=True, kw_only=True):
    """Create a signing key for the caller's tenant; its previous signing key is revoked at once.

    The key is revoked when the calling user leaves the tenant or is no longer an admin of it.
    """

    subject = "artcafe.identity.account.issue_key"
    raises = (KeyRateExceeded, AccountMissing, Forbidden)


class ListSigningKeys(Query[SigningKeys], frozen=True, kw_only=True):
    """List the signing keys that the caller's organization owns; there is one page."""

    subject = "artcafe.identity.account.list_keys"
    raises = (AccountMissing, InvalidCursor)
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class RevokeSigningKey(Command[SigningKey], frozen=True, kw_only=True):
    """Revoke a signing key of the caller's organization, and end the connections of the users that it signed."""

    subject = "artcafe.identity.account.revoke_key"
    raises = (AccountMissing, SigningKeyNotFound)
    nkey_public: str


class AccountKind(StrEnum):
    """The two NATS accounts of a tenant: that of its clients, and that of the platform's streams."""

    CLIENTS = "clients"
    STREAMS = "streams"


class IssueBridgeCredentials(Command[BridgeCredentials], frozen=True, kw_only=True):
    """Issue a user JWT in one of a tenant's accounts for the public key of a gateway's key pair."""

    subject = "artcafe.identity.bridge.issue"
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    nkey_public: str
    server_id: str
    account: AccountKind = AccountKind.CLIENTS


class SealSeeds(Command[SealedSeeds], frozen=True, kw_only=True):
    """Encrypt the stored seeds of some accounts with the present sealing key; repeat it until none remains."""

    subject = "artcafe.identity.account.seal_seeds"
    callers = ("admin",)
    deadline_s = 15.0
    idempotent = True
