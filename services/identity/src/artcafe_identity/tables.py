"""The DynamoDB tables of identity and the structure of their items."""

import time
from enum import StrEnum
from typing import Any

import msgspec

from artcafe_common.contracts.identity.accounts import SigningKey
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.storage.tables import Index, TableSpec

# No id or public NKey is longer.
MAX_ID_LENGTH = 128


class ChallengeItem(msgspec.Struct, frozen=True, kw_only=True):
    """An issued nonce or challenge, or a used challenge that an agent generated itself (`own#…`)."""

    challenge: str
    expires_at: int
    subject_id: str | None = None


class AccountOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant of a clients' account by its public key (`account#…`), in the table of challenges."""

    challenge: str
    tenant_id: str


class OwnStreams(StrEnum):
    """Where the streams are that a tenant's clients keep.

        in_clients_account ──sync-streams──> moving ──all moved──> moved
                           <──rejected by the broker──┘

    Earlier releases had them in the clients' account. New tenants begin with `moved`.
    """

    IN_CLIENTS_ACCOUNT = "in_clients_account"
    MOVING = "moving"
    MOVED = "moved"


class StreamsAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A NATS account that holds streams of a tenant; `sealed_seed` as in `AccountItem`."""

    account: str
    platform_key: str
    sealed_seed: str
    jwt: str


class AccountItem(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's NATS account.

    `sealed_seed` is the encrypted seed of `platform_key`, the platform's signing key in the account;
    `tenant_keys` are the signing keys that the tenant owns; items of earlier releases contain only
    their public keys. Until `quota_exhausted_until` (Unix seconds, 0 while messages of the month are left)
    clients may not publish, and the tenant's keys are not part of the account. While it is `suspended` or `deleted`,
    they are not either, and no client is let in. The account's identity key signs nothing in operator mode, so its seed is not
    stored.

    `streams` is the account of the platform's streams of the tenant; rows of earlier releases have none, and their
    streams are in the clients' account until they are moved (`streams_moved`).

    `own` is the account of the streams that the tenant's clients keep, and `own_roots` the first tokens of the subjects
    that these store, besides those that they may always store. A tenant whose plan never had such streams has none.
    Until `own_move_until` (Unix seconds) one instance moves these streams, and others do not continue the move.
    `own_replicas` is the number of replicas that they were given last; 0 if that is not known. Such streams can be created
    once `own_enabled`, which the first call about them causes; in rows of earlier releases they can.
    """

    seed_id: str
    tenant_id: str
    account: str
    platform_key: str
    sealed_seed: str
    plan: Plan
    tenant_keys: list[SigningKey | str]
    jwt: str
    version: int
    quota_exhausted_until: int = 0
    suspended: bool = False
    deleted: bool = False
    streams: StreamsAccount | None = None
    streams_moved: bool = False
    own: StreamsAccount | None = None
    own_roots: list[str] = []
    own_streams: OwnStreams = OwnStreams.IN_CLIENTS_ACCOUNT
    own_move_until: int = 0
    own_replicas: int = 0
    own_enabled: bool = True

    @property
    def signing_keys(self) -> list[SigningKey]:
        """`tenant_keys` in the present form."""
        return [SigningKey(nkey_public=key) if isinstance(key, str) else key for key in self.tenant_keys]

    @property
    def is_quota_exhausted(self) -> bool:
        """Whether the account's clients may not publish now."""
        return self.quota_exhausted_until > time.time()

    @property
    def is_blocked(self) -> bool:
        """Whether no client may connect."""
        return self.suspended or self.deleted

    @property
    def stream_accounts(self) -> dict[str, str]:
        """The accounts that may contain streams, by what they are for; `SigningAccount.stream_keys` has the same."""
        # JetStream is off in the others.
        enabled = LIMITS[self.plan].own_streams > 0 or self.own_streams is OwnStreams.MOVING
        accounts = {}
        if self.own_streams is not OwnStreams.MOVED and (enabled or not self.streams_moved):
            accounts["clients"] = self.account
        if self.streams is not None:
            accounts["streams"] = self.streams.account
        if self.own is not None and enabled and self.own_enabled:
            accounts["own"] = self.own.account
        return accounts

    @property
    def active_tenant_keys(self) -> list[str]:
        """The public keys of the tenant that may sign users now."""
        if self.quota_exhausted_until or self.is_blocked:
            return []
        return [key.nkey_public for key in self.signing_keys]


CHALLENGES = TableSpec(name="Challenges", item=ChallengeItem, partition="challenge", ttl="expires_at")
ACCOUNTS = TableSpec(
    name="nkey-seeds",
    item=AccountItem,
    partition="seed_id",
    indexes=(Index(name="AccountIndex", partition="account"),),
)
TABLES: list[TableSpec[Any]] = [CHALLENGES, ACCOUNTS]
