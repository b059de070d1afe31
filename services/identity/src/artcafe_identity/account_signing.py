"""Builds and signs the broker accounts of a tenant from its stored item."""

import time

import msgspec

from artcafe_common.broker.claims import (
    AccountClaims,
    AccountLimits,
    claims_of,
    encode,
    issuer_of,
    to_claims,
)
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.installation.platform_keys import PlatformKeys
from artcafe_common.plans import LIMITS, Plan
from artcafe_identity.operator_key import OperatorKey
from artcafe_identity.seed_cipher import SeedCipher
from artcafe_identity.tables import AccountItem, OwnStreams, StreamsAccount
from artcafe_identity.tenant_claims import (
    clients_account_limits,
    own_streams_account_claims,
    streams_account_claims,
    tenant_account_claims,
)


class SigningAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's accounts with the platform's decrypted signing keys; `own_account` is that of its own streams."""

    item: AccountItem
    signing_key: KeyPair
    streams_account: str
    streams_key: KeyPair
    own_account: str | None = None
    own_key: KeyPair | None = None

    @property
    def stream_keys(self) -> dict[str, tuple[str, KeyPair]]:
        """The accounts that may contain streams with the keys that sign their users, as `AccountItem.stream_accounts`."""
        keys = {"clients": self.signing_key, "streams": self.streams_key, "own": self.own_key}
        return {
            kind: (account, key)
            for kind, account in self.item.stream_accounts.items()
            if (key := keys[kind]) is not None
        }


class AccountSigner:
    """Signs accounts with the operator's key, and keeps the platform's keys in them encrypted."""

    def __init__(
        self, *, operator: OperatorKey, platform: PlatformKeys, cipher: SeedCipher, stream_replicas: int = 1
    ) -> None:
        self._stream_replicas = stream_replicas
        self._operator = operator
        self._platform = platform
        self._cipher = cipher

    @property
    def issuer(self) -> str:
        """The operator's present key."""
        return self._operator.pair.public

    def build(self, tenant_id: str, plan: Plan) -> AccountItem:
        """The item of a new tenant."""
        account, signing_key, sealed_seed = self._create_account(tenant_id)
        return self.sign(
            AccountItem(
                seed_id=f"account#{tenant_id}",
                tenant_id=tenant_id,
                account=account,
                platform_key=signing_key,
                sealed_seed=sealed_seed,
                plan=plan,
                tenant_keys=[],
                jwt="",
                version=1,
                streams_moved=True,
                own_streams=OwnStreams.MOVED,
            )
        )

    def sign(self, item: AccountItem, *, create_own: bool = False) -> AccountItem:
        """The item with the JWTs of its accounts, and with the accounts that it lacks.

        The account of the clients' own streams is created when the plan has such streams, and enabled by
        `create_own`.
        """
        streams = item.streams or self._create_streams_account(item.tenant_id)
        own, own_enabled = item.own, item.own_enabled
        if own is None and (create_own or _has_own_streams(item)):
            own, own_enabled = self._create_streams_account(item.tenant_id), create_own
        item = msgspec.structs.replace(item, streams=streams, own=own, own_enabled=own_enabled)
        # The broker's events carry the account's name, so that of the clients' account is the tenant's id.
        return msgspec.structs.replace(
            item,
            jwt=self._encode(self._clients_claims(item, streams), item.account, item.tenant_id, item.jwt),
            streams=msgspec.structs.replace(
                streams,
                jwt=self._encode(
                    self._streams_claims(item, streams),
                    streams.account,
                    f"streams {item.tenant_id}",
                    streams.jwt,
                ),
            ),
            own=own
            and msgspec.structs.replace(
                own,
                jwt=self._encode(
                    self._own_claims(item, own), own.account, f"own streams {item.tenant_id}", own.jwt
                ),
            ),
        )

    def sign_empty(self, item: AccountItem) -> list[str]:
        """JWTs that empty a deleted tenant's accounts: nobody can enter them, and nothing tells whose they were.

        They stay at the broker. Of accounts that it deletes, it looks for the JWTs whenever it lists their closed
        connections, for 2 s each, in which its system account does not reply. And a node that was away would bring
        them back, but not over a newer JWT.
        """
        empty = AccountClaims(limits=AccountLimits(subs=0, conn=0, leaf=0, imports=0, exports=0))
        accounts = [each.account for each in (item, item.streams, item.own) if each is not None]
        return [self._encode(empty, account, "deleted", "") for account in accounts]

    def is_current(self, item: AccountItem) -> bool:
        """Whether the stored JWTs are of this installation's operator, and have the claims of this release."""
        streams, own = item.streams, item.own
        if streams is None or (own is None and _has_own_streams(item)):
            return False
        claims = {
            item.jwt: self._clients_claims(item, streams),
            streams.jwt: self._streams_claims(item, streams),
        }
        if own is not None:
            claims[own.jwt] = self._own_claims(item, own)
        return all(self._says(jwt, wanted) for jwt, wanted in claims.items())

    def _says(self, jwt: str, claims: AccountClaims) -> bool:
        return issuer_of(jwt) == self._operator.pair.public and claims_of(jwt) == to_claims(claims)

    def decrypt(self, tenant_id: str, public: str, sealed_seed: str) -> KeyPair:
        """The platform's signing key in an account."""
        return KeyPair(self._cipher.decrypt(sealed_seed, tenant_id=tenant_id, public=public))

    def seal(self, item: AccountItem) -> AccountItem:
        """The item with all seeds encrypted with the present key; the item itself if they are."""
        sealed = self._seal(item.tenant_id, item.platform_key, item.sealed_seed)
        streams, own = (self._seal_account(item.tenant_id, each) for each in (item.streams, item.own))
        if sealed == item.sealed_seed and streams is item.streams and own is item.own:
            return item
        return msgspec.structs.replace(item, sealed_seed=sealed, streams=streams, own=own)

    def _seal_account(self, tenant_id: str, account: StreamsAccount | None) -> StreamsAccount | None:
        if account is None:
            return None
        sealed = self._seal(tenant_id, account.platform_key, account.sealed_seed)
        same = sealed == account.sealed_seed
        return account if same else msgspec.structs.replace(account, sealed_seed=sealed)

    def _seal(self, tenant_id: str, public: str, sealed_seed: str) -> str:
        if self._cipher.is_current(sealed_seed, tenant_id=tenant_id, public=public):
            return sealed_seed
        seed = self._cipher.decrypt(sealed_seed, tenant_id=tenant_id, public=public)
        return self._cipher.encrypt(seed, tenant_id=tenant_id, public=public)

    def _create_account(self, tenant_id: str) -> tuple[str, str, str]:
        """A new account's key, and the platform's signing key in it with its encrypted seed."""
        account, signing_key = create_key_pair(KeyKind.ACCOUNT), create_key_pair(KeyKind.ACCOUNT)
        sealed_seed = self._cipher.encrypt(signing_key.seed, tenant_id=tenant_id, public=signing_key.public)
        return account.public, signing_key.public, sealed_seed

    def _create_streams_account(self, tenant_id: str) -> StreamsAccount:
        account, platform_key, sealed_seed = self._create_account(tenant_id)
        return StreamsAccount(account=account, platform_key=platform_key, sealed_seed=sealed_seed, jwt="")

    def _encode(self, claims: AccountClaims, account: str, name: str, current: str) -> str:
        if current and self._says(current, claims):
            # The broker reads an account again for each new JWT.
            return current
        return encode(
            claims, issuer=self._operator.pair, subject=account, name=name, issued_at=int(time.time())
        )

    def _clients_claims(self, item: AccountItem, streams: StreamsAccount) -> AccountClaims:
        return tenant_account_claims(
            tenant_id=item.tenant_id,
            account=item.account,
            platform_account=self._platform.platform_account,
            streams_account=streams.account,
            own_streams_account=item.own.account if item.own and _has_own_streams(item) else None,
            limits=clients_account_limits(
                item.plan,
                streams_moved=item.streams_moved,
                own_streams_moved=item.own_streams is OwnStreams.MOVED,
                unlimited=item.own_streams is OwnStreams.MOVING,
            ),
            signing_keys=[item.platform_key, *item.active_tenant_keys],
        )

    def _streams_claims(self, item: AccountItem, streams: StreamsAccount) -> AccountClaims:
        return streams_account_claims(
            tenant_id=item.tenant_id,
            clients_account=item.account,
            signing_key=streams.platform_key,
        )

    def _own_claims(self, item: AccountItem, own: StreamsAccount) -> AccountClaims:
        return own_streams_account_claims(
            tenant_id=item.tenant_id,
            clients_account=item.account,
            plan=item.plan,
            signing_key=own.platform_key,
            replicas=self._stream_replicas,
            roots=item.own_roots,
            enabled=item.own_enabled,
            # What was stored within an earlier limit is not lost.
            unlimited=item.own_streams is OwnStreams.MOVING,
        )


def _has_own_streams(item: AccountItem) -> bool:
    """Whether clients may keep streams in an account of these."""
    return item.own_streams is OwnStreams.MOVED and LIMITS[item.plan].own_streams > 0
