"""Organizations with a client and a NATS account each, written to the stores by the thousand."""

import asyncio
import time

import msgspec
from ulid import ULID

from artcafe_common.broker.claims import encode
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.clock import now
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.dev.stack import REGION
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.key_ring import KeyRing
from artcafe_common.plans import Plan
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.items import serialize
from artcafe_common.storage.table import Table
from artcafe_common.storage.tables import TableSpec
from artcafe_identity.account_signing import AccountSigner
from artcafe_identity.client_claims import client_user_claims
from artcafe_identity.operator_key import OperatorKey
from artcafe_identity.seed_cipher import SeedCipher
from artcafe_identity.tables import ACCOUNTS, CHALLENGES, AccountOwner
from artcafe_tenancy.tables import CLIENTS, TENANTS, ClientItem, TenantItem
from support.aws import aws_environment

# So that no write of a batch waits longer than DynamoDB's deadline.
BATCH = 40
PERMISSIONS = Permissions(publish=[">"], subscribe=[">"])


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """An organization; `agent` is its client, as the benchmark's peers take it, `key` the platform's in its account."""

    id: str
    account: str
    key: KeyPair
    agent: dict[str, str]

    def user_jwt(self) -> str:
        """What the auth callout issues to its client, which can log in with it without the callout."""
        claims = client_user_claims(
            tenant_id=self.id, client_id=self.agent["id"], account=self.account, permissions=PERMISSIONS
        )
        return encode(
            claims,
            issuer=self.key,
            subject=KeyPair(self.agent["seed"]).public,
            name=self.agent["id"],
            issued_at=int(time.time()),
        )


class Population:
    """The organizations of a stack. They are stored, not announced: identity finds them when it compares accounts."""

    def __init__(self, stack, plan):
        self._stack = stack
        self._plan = Plan(plan)
        keys = stack.directory / "keys"
        self._signer = AccountSigner(
            operator=OperatorKey.from_file(keys / "operator.nk"),
            platform=load_platform_keys(keys),
            cipher=SeedCipher(KeyRing.from_file(keys / "sealing.key")),
        )
        self.organizations = []

    async def grow(self, count):
        """Create organizations until there are `count`; returns the seconds that it took."""
        began = time.monotonic()
        with aws_environment(self._stack):
            async with Database(region=REGION, prefix="artcafe-") as database:
                while (missing := count - len(self.organizations)) > 0:
                    await self._create(database, min(missing, BATCH))
                    await asyncio.sleep(0)
        return time.monotonic() - began

    async def _create(self, database, count):
        tenants, clients = Table(database, TENANTS), Table(database, CLIENTS)
        accounts = Table(database, ACCOUNTS)
        owners = Table(
            database, TableSpec(name=CHALLENGES.name, item=AccountOwner, partition=CHALLENGES.partition)
        )
        writes, at = [], now()
        for _ in range(count):
            number = len(self.organizations)
            tenant_id, client_id = str(ULID()), str(ULID())
            key = create_key_pair(KeyKind.USER)
            account = self._signer.build(tenant_id, self._plan)
            tenant = TenantItem(
                id=tenant_id,
                name=f"Small {number}",
                description="",
                plan=self._plan,
                metadata={},
                owners_count=1,
                clients_count=1,
                created_at=at,
                updated_at=at,
            )
            client = ClientItem(
                tenant_id=tenant_id,
                name="agent",
                search_name="agent",
                metadata={},
                created_at=at,
                updated_at=at,
                client_id=client_id,
                nkey_public=key.public,
                permissions=PERMISSIONS,
            )
            owner = {"client_id": serialize(f"nkey#{key.public}"), "holder": serialize(client_id)}
            writes += [
                tenants.build_put(tenant),
                clients.build_put(client),
                Write(kind="Put", arguments={"TableName": database.prefix + CLIENTS.name, "Item": owner}),
                accounts.build_put(account),
                owners.build_put(AccountOwner(challenge=f"account#{account.account}", tenant_id=tenant_id)),
            ]
            self.organizations.append(
                Organization(
                    id=tenant_id,
                    account=account.account,
                    key=self._signer.decrypt(tenant_id, account.platform_key, account.sealed_seed),
                    agent={"id": client_id, "seed": key.seed},
                )
            )
        await database.batch_write(writes)
