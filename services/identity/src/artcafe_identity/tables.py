"""The DynamoDB tables of identity and the structure of their items."""

from typing import Any

import msgspec

from artcafe_common.plans import Plan
from artcafe_common.storage.tables import Index, TableSpec

# No id or public NKey is longer.
MAX_ID_LENGTH = 128


class ChallengeItem(msgspec.Struct, frozen=True, kw_only=True):
    """An issued nonce or challenge, or a used challenge that an agent generated itself (`own#…`)."""

    challenge: str
    expires_at: int
    subject_id: str | None = None


class AccountItem(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's NATS account.

    `sealed_seed` is the encrypted seed of `platform_key`, the platform's signing key in the account;
    `tenant_keys` are the public signing keys that the tenant owns. The account's identity key signs
    nothing in operator mode, so its seed is not stored.
    """

    seed_id: str
    tenant_id: str
    account: str
    platform_key: str
    sealed_seed: str
    plan: Plan
    tenant_keys: list[str]
    jwt: str
    version: int


CHALLENGES = TableSpec(name="Challenges", item=ChallengeItem, partition="challenge", ttl="expires_at")
ACCOUNTS = TableSpec(
    name="nkey-seeds",
    item=AccountItem,
    partition="seed_id",
    indexes=(Index(name="AccountIndex", partition="account"),),
)
TABLES: list[TableSpec[Any]] = [CHALLENGES, ACCOUNTS]
