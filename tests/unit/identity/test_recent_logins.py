"""Which connections end when an organization's right to publish or a client changes, at a real broker."""

import asyncio
import base64
from types import SimpleNamespace

import pytest
from msgspec import structs

from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.broker.system_account import list_connections
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.clients import ClientState
from artcafe_common.contracts.tenancy.credentials import ClientCredential, FindClientCredential
from artcafe_common.contracts.tenancy.events import ClientChanged, ClientRevoked, RevocationReason
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.recent_logins import Login, RecentLogins
from artcafe_identity.revocation import RECHECK_DELAY_S, ClientKicker, RevocationHandler
from support.fakes.bus import FakeBus
from support.harness.broker_accounts import BrokerAccounts
from support.waiting import eventually


class Accounts:
    """As `AccountRepository`: an account that may publish, or not (`exhausted`)."""

    def __init__(self, account):
        self._account = account
        self.exhausted = {}
        self.suspended = False

    async def get_signing_account(self, tenant_id):
        if tenant_id not in self.exhausted:
            raise AccountMissing
        item = SimpleNamespace(
            account=self._account.public,
            platform_key=self._account.platform_key.public,
            is_quota_exhausted=self.exhausted[tenant_id],
            is_blocked=self.suspended,
        )
        return SimpleNamespace(item=item)


class Authenticator:
    """As `ClientAuthenticator`, with one client."""

    def __init__(self, client):
        self._client = client

    def invalidate(self, event):
        pass

    async def find_by_id(self, _client_id):
        if isinstance(self._client, Exception):
            raise self._client
        return self._client


class Organization:
    """An organization whose clients reconnect by themselves; two instances of identity let them in."""

    def __init__(self, broker, account):
        self._broker = broker
        self._account = account
        self.accounts = Accounts(account)
        self.instances = [RecentLogins(broker.system, self.accounts) for _ in range(2)]
        self.accounts.exhausted[account.tenant_id] = False

    async def connect(self, instance, *, may_publish=True, client=None):
        """A client that `instance` let in with this right."""
        options = {"allow_reconnect": True, "reconnect_time_wait": 0.01}
        client_id = client.client_id if client is not None else ""
        client_id, nc = await self._broker.accounts.connect_client(self._account, client_id, **options)
        self.instances[instance].record(
            nc._server_info["server_id"],
            nc.client_id,
            Login(client=client or self.credential(client_id), may_publish=may_publish),
        )
        return nc

    def credential(self, client_id, **changes):
        fields = {"nkey_public": "U1", "state": ClientState.ACTIVE, "permissions": Permissions(), **changes}
        return ClientCredential(
            client_id=client_id, tenant_id=self._account.tenant_id, name="robot", **fields
        )

    async def exhaust(self):
        self.accounts.exhausted[self._account.tenant_id] = True
        return sum([await each.end_outdated(self._account.tenant_id) for each in self.instances])

    async def kick_all(self):
        item = (await self.accounts.get_signing_account(self._account.tenant_id)).item
        return await ClientKicker(self._broker.system, self.instances[0]).kick_all(item)

    async def revoke(self, before, now, reason=RevocationReason.PERMISSIONS_CHANGED):
        """A client changes; `now` is None for one that was deleted, or an error that the lookup raises."""
        event = ClientRevoked(
            tenant_id=before.tenant_id,
            client_id=before.client_id,
            nkey_public=before.nkey_public,
            reason=reason,
        )
        handlers = [
            RevocationHandler(
                clients=ClientKicker(self._broker.system, logins),
                accounts=self.accounts,
                authenticator=Authenticator(now),
                recent_logins=logins,
            )
            for logins in self.instances
        ]
        # One of the instances handles the stored event, and each of them the live one.
        await handlers[0].on_client_revoked(event)
        for each in handlers:
            await each.end_recent_logins(event)


@pytest.fixture(scope="module")
async def broker(new_stack):
    async with new_stack(servers=("nats",)) as stack:
        url, keys = stack.environ()["NATS_URL"], stack.directory / "keys"
        accounts = BrokerAccounts(url, keys)
        await accounts.open()
        system = await connect(url, keys / "identity-system.creds", name="identity")
        yield SimpleNamespace(accounts=accounts, system=system)
        await system.close()
        await accounts.close()


@pytest.fixture
async def organization(broker):
    return Organization(broker, await broker.accounts.create())


async def test_client_is_ended_once_and_then_stays(organization, broker):
    nc = await organization.connect(0, may_publish=True)
    organization.accounts.exhausted[organization._account.tenant_id] = True
    assert await organization.kick_all() == 1
    await eventually(lambda: nc.is_connected and nc.stats["reconnects"] == 1)
    await asyncio.sleep(2 * RECHECK_DELAY_S)
    assert nc.stats["reconnects"] == 1
    await nc.close()


async def test_connection_that_came_back_with_the_present_rights_is_not_ended_with_the_others(organization):
    back, outdated = [await organization.connect(0, may_publish=right) for right in (False, True)]
    organization.accounts.exhausted[organization._account.tenant_id] = True
    assert await organization.kick_all() == 1
    await eventually(lambda: outdated.stats["reconnects"] == 1)
    assert back.stats["reconnects"] == 0
    for nc in (back, outdated):
        await nc.close()


async def test_only_logins_with_outdated_rights_are_ended(organization):
    outdated = [await organization.connect(instance, may_publish=True) for instance in (0, 1)]
    right = await organization.connect(1, may_publish=False)
    assert await organization.exhaust() == 2
    await eventually(lambda: [nc.stats["reconnects"] for nc in outdated] == [1, 1])
    # Once: they come back under other numbers.
    assert await organization.exhaust() == 0
    assert right.stats["reconnects"] == 0
    for nc in (*outdated, right):
        await nc.close()


async def test_logins_of_another_or_a_deleted_organization_stay(organization, broker):
    other = Organization(broker, await broker.accounts.create())
    nc = await other.connect(0, may_publish=True)
    del other.accounts.exhausted[other._account.tenant_id]
    assert await other.instances[0].end_outdated(other._account.tenant_id) == 0
    assert await organization.exhaust() == 0
    assert nc.is_connected
    await nc.close()


async def test_client_with_new_permissions_is_ended_once_and_then_stays(organization):
    before = organization.credential(new_id())
    after = structs.replace(before, permissions=Permissions(publish=["a"]))
    nc = await organization.connect(0, client=before)
    await organization.revoke(before, after)
    await eventually(lambda: nc.is_connected and nc.stats["reconnects"] == 1)
    await asyncio.sleep(2 * RECHECK_DELAY_S)
    assert nc.stats["reconnects"] == 1
    await nc.close()


@pytest.mark.parametrize("changes", [{"permissions": Permissions(publish=["a"])}, {"nkey_public": "U2"}])
async def test_only_the_connections_of_a_client_as_it_was_before_are_ended(organization, changes):
    before = organization.credential(new_id())
    after = structs.replace(before, **changes)
    back = await organization.connect(0, client=after)
    other = await organization.connect(1)
    # The second instance let it in before it knew of the change, and after the first one looked.
    outdated = [await organization.connect(instance, client=before) for instance in (0, 1)]
    await organization.revoke(before, after)
    await eventually(lambda: all(nc.stats["reconnects"] for nc in outdated))
    assert [nc.stats["reconnects"] for nc in (back, other)] == [0, 0]
    for nc in (back, other, *outdated):
        await nc.close()


async def test_every_connection_of_a_client_that_is_gone_or_cannot_be_looked_up_ends(organization):
    for now in (None, ServiceUnavailable()):
        client = organization.credential(new_id())
        nc = await organization.connect(1, client=client)
        await organization.revoke(client, now)
        await eventually(lambda nc=nc: nc.stats["reconnects"])
        await nc.close()


async def test_login_of_a_client_that_changed_meanwhile_is_not_current():
    pair = create_key_pair(KeyKind.USER)
    client = ClientCredential(
        client_id=new_id(),
        tenant_id=new_id(),
        name="robot",
        nkey_public=pair.public,
        state=ClientState.ACTIVE,
        permissions=Permissions(),
    )
    bus = FakeBus({FindClientCredential: client}, nc=SimpleNamespace(is_connected=True))
    authenticator = ClientAuthenticator(bus, None)
    nonce = "nonce"
    signature = base64.b64encode(pair.sign(nonce.encode())).decode()
    found = await authenticator.authenticate(nonce=nonce, signature=signature, nkey=pair.public)
    assert authenticator.is_current(found)
    # Events are missed while the broker is away.
    bus.nc.is_connected = False
    assert not authenticator.is_current(found)
    bus.nc.is_connected = True
    authenticator.invalidate(
        ClientChanged(tenant_id=client.tenant_id, client_id=client.client_id, nkey_public=pair.public)
    )
    assert not authenticator.is_current(found)


async def test_login_can_be_ended_before_it_is_answered(organization, broker):
    """The right is recorded when the account is read; the broker knows the connection by then."""
    reached, go_on = asyncio.Queue(), asyncio.Event()
    account, logins = organization._account, organization.instances[0]

    async def on_login(request):
        connection = request.server_id.id, request.client_info.id
        logins.record(*connection, Login(client=organization.credential(""), may_publish=True))
        reached.put_nowait(connection)
        await go_on.wait()

    broker.accounts.before_answer = on_login
    connecting = asyncio.create_task(broker.accounts.connect_client(account, connect_timeout=2))
    _, cid = await reached.get()
    assert await organization.exhaust() == 1
    broker.accounts.before_answer = None
    go_on.set()
    # The library may have tried again.
    await asyncio.wait({connecting})
    connections = (await list_connections(broker.system, account=account.public))[0].connections
    assert cid not in [each.cid for each in connections]
    if connecting.exception() is None:
        await connecting.result()[1].close()


async def test_suspended_organization_keeps_no_connection_whatever_its_rights(organization):
    connections = [
        await organization.connect(each, may_publish=may) for each in (0, 1) for may in (True, False)
    ]
    organization.accounts.suspended = True
    ended = sum([await each.end_outdated(organization._account.tenant_id) for each in organization.instances])
    assert ended == len(connections)
    # Those that another instance let in, and those that this one did not end.
    later = await organization.connect(0, may_publish=True)
    await organization.kick_all()
    await eventually(lambda: later.stats["reconnects"] > 0)
