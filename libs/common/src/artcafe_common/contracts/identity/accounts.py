"""NATS accounts of organizations, and credentials in them."""

import msgspec

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import KeyPairIssued, KeyRateExceeded
from artcafe_common.plans import Plan


class AccountMissing(CommandError):
    """No NATS account exists for the organization or the public key."""

    status = 404
    code = "account_missing"
    title = "The broker account does not exist"
    remedy = "Check the id of the organization. If it is correct, ask the operator."


class BrokerAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's NATS account; `platform_key` is the signing key that identity holds in it."""

    account: str
    tenant_id: str
    platform_key: str


class AccountComparison(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts there are, and how many the broker lacked or held otherwise; `examples` are tenants."""

    known: int
    differing: int
    examples: list[str]


class BridgeCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A user JWT in a tenant's account for the key pair that a gateway made."""

    jwt: str
    account: str


class EnsureAccount(Command[BrokerAccount], frozen=True, kw_only=True):
    """Give a tenant its NATS account with its plan's limits, or bring the limits up to date."""

    subject = "artcafe.identity.account.ensure"
    callers = ("tenancy",)
    idempotent = True
    tenant_id: str
    plan: Plan


class CompareAccounts(Command[AccountComparison], frozen=True, kw_only=True):
    """Compare every account with what the broker holds; with `push`, give the broker what differs."""

    subject = "artcafe.identity.account.compare"
    callers = ("admin",)
    deadline_s = 30.0
    idempotent = True
    push: bool = False


class FindAccount(Query[BrokerAccount], frozen=True, kw_only=True):
    """The tenant behind a NATS account's public key."""

    subject = "artcafe.identity.account.find"
    callers = ("metering",)
    raises = (AccountMissing,)
    account: str


class IssueAccountKey(Command[KeyPairIssued], frozen=True, kw_only=True):
    """Give the caller's tenant a new signing key of its own; the one before it is revoked at once."""

    subject = "artcafe.identity.account.issue_key"
    raises = (KeyRateExceeded, AccountMissing)


class IssueBridgeCredentials(Command[BridgeCredentials], frozen=True, kw_only=True):
    """Let a gateway into a tenant's account with the public key of a pair that it made."""

    subject = "artcafe.identity.bridge.issue"
    raises = (AccountMissing,)
    idempotent = True
    tenant_id: str
    nkey_public: str
    server_id: str
