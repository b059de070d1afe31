"""NATS accounts of organizations, and their credentials."""

import msgspec

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import IssuedKeyPair, KeyRateExceeded
from artcafe_common.plans import Plan


class AccountMissing(CommandError):
    """No NATS account exists for the organization or the public key."""

    status = 404
    code = "account_missing"
    title = "The broker account does not exist"
    remedy = "Check the id of the organization. If it is correct, ask the operator."


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


class EnsureAccount(Command[BrokerAccount], frozen=True, kw_only=True):
    """Create a tenant's NATS account with its plan's limits, or update the limits."""

    subject = "artcafe.identity.account.ensure"
    callers = ("tenancy",)
    idempotent = True
    tenant_id: str
    plan: Plan


class CompareAccounts(Command[AccountComparison], frozen=True, kw_only=True):
    """Compare every account with the broker's copy; with `push`, send those that differ to the broker."""

    subject = "artcafe.identity.account.compare"
    callers = ("admin",)
    deadline_s = 30.0
    idempotent = True
    push: bool = False


class FindAccount(Query[BrokerAccount], frozen=True, kw_only=True):
    """Find the tenant of a NATS account by its public key."""

    subject = "artcafe.identity.account.find"
    callers = ("metering",)
    raises = (AccountMissing,)
    account: str


class IssueAccountKey(Command[IssuedKeyPair], frozen=True, kw_only=True):
    """Create a signing key for the caller's tenant; its previous signing key is revoked at once."""

    subject = "artcafe.identity.account.issue_key"
    raises = (KeyRateExceeded, AccountMissing)


class IssueBridgeCredentials(Command[BridgeCredentials], frozen=True, kw_only=True):
    """Issue a user JWT in a tenant's account for the public key of a gateway's key pair."""

    subject = "artcafe.identity.bridge.issue"
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    nkey_public: str
    server_id: str
