"""identity's tables."""

from typing import Any

import msgspec

from artcafe_common.plans import Plan
from artcafe_common.storage.tables import Index, TableSpec


class ChallengeItem(msgspec.Struct, frozen=True, kw_only=True):
    """A nonce or challenge that was given out, or that an agent made itself (`own#…`)."""

    challenge: str
    expires_at: int
    subject_id: str | None = None


class AccountItem(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's NATS account.

    `sealed_seed` is the platform's own signing key in it, encrypted; `tenant_keys` are the public
    keys of the signing keys that the tenant holds. The account's identity key signs nothing in
    operator mode, so its seed is not kept at all.
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
