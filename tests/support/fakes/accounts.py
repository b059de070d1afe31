"""The accounts of identity without DynamoDB and a broker."""

from types import SimpleNamespace

from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.installation.platform_keys import PlatformKeys
from artcafe_common.key_ring import KeyRing
from artcafe_identity.account_reconciler import AccountReconciler
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.account_signing import AccountSigner
from artcafe_identity.broker_accounts import BrokerAccounts
from artcafe_identity.operator_key import OperatorKey
from artcafe_identity.seed_cipher import SeedCipher
from support.fakes.bus import FakeBus


def account_signer():
    """A signer with keys of its own."""
    public = create_key_pair(KeyKind.ACCOUNT).public
    return AccountSigner(
        operator=OperatorKey(create_key_pair(KeyKind.OPERATOR)),
        platform=PlatformKeys(
            operator="O", system_account=public, callout_account=public, platform_account=public
        ),
        cipher=SeedCipher(KeyRing.of(b"k" * 32)),
    )


def account_repository(store, system, bus=None, signer=None):
    """Accounts with keys of their own, in a store and a broker of the test."""
    return AccountRepository(
        store=store, broker=BrokerAccounts(system), bus=bus or FakeBus(), signer=signer or account_signer()
    )


def account_reconciler(store, system):
    """Compares such accounts: the reconciler, and the accounts."""
    signer = account_signer()
    accounts = account_repository(store, system, signer=signer)
    reconciler = AccountReconciler(
        store=store, accounts=accounts, broker=BrokerAccounts(system), signer=signer
    )
    return reconciler, accounts


class FakeAccountStore:
    """Keeps accounts by tenant id, with the conditional writes of the real store."""

    def __init__(self):
        self.items = {}

    async def get_account(self, tenant_id):
        return self.items.get(tenant_id)

    async def create_account(self, item):
        return await self.replace_account(item)

    async def replace_account(self, item):
        stored = self.items.get(item.tenant_id)
        if (stored.version if stored is not None else 0) != item.version - 1:
            return False
        self.items[item.tenant_id] = item
        return True


class FakeSystemAccount:
    """Accepts account JWTs as the broker does, and records them."""

    def __init__(self):
        self.pushed = []

    async def request(self, _subject, data, *, timeout):
        assert timeout > 0
        self.pushed.append(data.decode())
        return SimpleNamespace(data=b'{"data":{"code":200}}')
