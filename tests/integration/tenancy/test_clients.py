"""Tenancy as its callers see it: a real broker, moto's DynamoDB, a stand-in for identity."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from artcafe_common.broker import nkeys
from artcafe_common.broker.connect import connect
from artcafe_common.bus.caller import CallerContext, current_caller, current_tenant
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import EndpointServer
from artcafe_common.bus.errors import CommandError, Forbidden, InvalidCursor, InvalidRequest, StoreUnavailable
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.identity.accounts import BrokerAccount, EnsureAccount
from artcafe_common.contracts.identity.clients import IssueClientKey, KeyPairIssued, Permissions
from artcafe_common.contracts.presence import PresenceChanged
from artcafe_common.contracts.tenancy.accounts import (
    ChangePlan,
    CreateAccount,
    GetAccount,
    ListAccounts,
    UpdateAccount,
)
from artcafe_common.contracts.tenancy.channels import (
    ChannelNotFound,
    CreateChannel,
    DeleteChannel,
    GetChannel,
    ListChannels,
    UpdateChannel,
)
from artcafe_common.contracts.tenancy.clients import (
    ClientNotFound,
    ClientState,
    ClientStatus,
    CreateClient,
    DeleteClient,
    GetClient,
    InvalidPermission,
    KeyConflict,
    ListClients,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.credentials import FindClientCredential
from artcafe_common.contracts.tenancy.events import (
    ChannelChanged,
    ClientChanged,
    ClientRevoked,
    MembershipChanged,
    PlanChanged,
    RevocationReason,
)
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from artcafe_common.contracts.tenancy.members import (
    AddMember,
    LastOwner,
    ListMembers,
    MemberExists,
    MemberNotFound,
    RemoveMember,
    ResolveMembership,
    Role,
    TenantRequired,
    UpdateMember,
)
from artcafe_common.dev.stack import REGION, SERVERS, Stack
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.settings import load
from artcafe_common.storage.dynamo import Database
from artcafe_tenancy.app import app
from artcafe_tenancy.settings import Settings
from artcafe_tenancy.tables import TABLES
from support.stack import free_ports

EVENTS = (ChannelChanged, ClientChanged, ClientRevoked, MembershipChanged, PlanChanged)


class Identity:
    """Gives accounts and keys as identity does, and remembers what it was asked for."""

    def __init__(self):
        self.plans = {}
        self.keys = []
        self.down = False

    async def ensure(self, request):
        if self.down:
            raise StoreUnavailable
        self.plans[request.tenant_id] = request.plan
        return BrokerAccount(account="A", tenant_id=request.tenant_id, platform_key="A")

    async def issue(self, _request):
        current_tenant()
        pair = nkeys.create(nkeys.KeyKind.USER)
        self.keys.append(pair.public)
        return KeyPairIssued(nkey_public=pair.public, nkey_seed=pair.seed)


class World:
    """A running tenancy, and everyone around it."""

    def __init__(self, *, gateway, presence, admin, identity):
        self.gateway = gateway
        self.presence = presence
        self.admin = admin
        self.identity = identity
        self.events = []

    async def note(self, event):
        self.events.append(event)

    def user(self, user_id=None):
        return Person(self, user_id or f"user-{new_id()}")

    async def owner(self, plan=Plan.FREE):
        """A person who owns a new organization."""
        person = self.user()
        account = await person(CreateAccount(name="Acme"))
        if plan is not Plan.FREE:
            await self.operator(ChangePlan(tenant_id=account.account_id, plan=plan))
        return person.at(account.account_id, Role.OWNER)

    async def operator(self, command):
        return await self.admin.call(command, caller=CallerContext.service("admin"))

    async def heard(self, kind, **fields):
        """The first event of a kind with these fields; fails when none comes."""
        async with asyncio.timeout(3):
            while True:
                for event in self.events:
                    if type(event) is kind and all(getattr(event, k) == v for k, v in fields.items()):
                        return event
                await asyncio.sleep(0.01)


class Person:
    """Somebody who sends commands, in a tenant or in none."""

    def __init__(self, world, user_id, tenant_id="", role=""):
        self.world = world
        self.user_id = user_id
        self.tenant_id = tenant_id
        self.role = role

    def at(self, tenant_id, role):
        return Person(self.world, self.user_id, tenant_id, role)

    async def __call__(self, command):
        caller = CallerContext(
            request_id="test", tenant_id=self.tenant_id, actor=f"user:{self.user_id}", role=self.role
        )
        return await self.world.gateway.call(command, caller=caller)

    async def colleague(self, role):
        """A new member of this person's organization."""
        other = self.world.user()
        await self(AddMember(user_id=other.user_id, email="c@example.com", role=role))
        return other.at(self.tenant_id, role)

    async def client(self, name="robot", **fields):
        return (await self(CreateClient(name=name, **fields))).client

    async def channel(self, name="news", **fields):
        return await self(CreateChannel(name=name, **fields))


@pytest.fixture(scope="module")
async def world(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("tenancy"), free_ports(), settings={"ARTCAFE_DEFAULT_PLAN": "free"})
    environ = stack.environ("tenancy")
    async with AsyncExitStack() as exits:
        exits.push_async_callback(stack.down)
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        for name, value in environ.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        stack.prepare()
        for name in SERVERS:
            stack.start(name)
        await stack.wait_for_servers()
        async with Database(region=REGION, prefix="artcafe-") as database:
            for spec in TABLES:
                await database.create_table(spec)

        async def joining(service):
            credentials = stack.directory / f"keys/{service}.creds"
            nc = await connect(environ["NATS_URL"], credentials, name=service)
            exits.push_async_callback(nc.close)
            return nc

        identity = Identity()
        server = EndpointServer(await joining("identity"), "identity")
        await server.start()
        exits.push_async_callback(server.stop)
        await server.add_endpoint(EnsureAccount, identity.ensure)
        await server.add_endpoint(IssueClientKey, identity.issue)
        await exits.enter_async_context(app(load(Settings, environ)))
        made = World(
            gateway=Bus(await joining("gateway"), service="gateway"),
            presence=Bus(await joining("presence"), service="presence"),
            admin=Bus(await joining("admin"), service="admin"),
            identity=identity,
        )
        for kind in EVENTS:
            await made.gateway.subscribe(kind, made.note)
        await made.gateway.nc.flush()
        yield made


async def outcomes(*calls):
    """What came of calls that were made at once: results and the kinds of refusals."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, CommandError):
            raise answer
    done = [answer for answer in answers if not isinstance(answer, CommandError)]
    return done, [type(answer) for answer in answers if isinstance(answer, CommandError)]


def swapped(text):
    """The text with its middle character changed."""
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]


# -- organizations -------------------------------------------------------------------------------


async def test_an_account_from_founding_to_change(world):
    ann = world.user()
    made = await ann(
        CreateAccount(name="Acme", description="d", metadata={"a": [1]}, email="ann@example.com")
    )
    assert (made.name, made.role, made.plan, made.limits) == (
        "Acme",
        Role.OWNER,
        Plan.FREE,
        LIMITS[Plan.FREE],
    )
    assert world.identity.plans[made.account_id] is Plan.FREE
    assert (await ann(ListAccounts())).accounts == [made]
    owner = ann.at(made.account_id, Role.OWNER)
    assert await owner(GetAccount()) == made
    (member,) = (await owner(ListMembers())).members
    assert (member.user_id, member.email, member.role) == (ann.user_id, "ann@example.com", Role.OWNER)

    changed = await owner(UpdateAccount(description=""))
    assert (changed.name, changed.description, changed.metadata) == ("Acme", "", {"a": [1]})
    assert changed.updated_at > made.updated_at
    admin = await owner.colleague(Role.ADMIN)
    assert (await admin(UpdateAccount(name="Acme 2"))).role is Role.ADMIN
    assert (await owner(GetAccount())).name == "Acme 2"


async def test_an_account_without_a_broker_account_is_not_made(world):
    ann = world.user()
    world.identity.down = True
    try:
        with pytest.raises(StoreUnavailable):
            await ann(CreateAccount(name="Acme"))
    finally:
        world.identity.down = False
    assert (await ann(ListAccounts())).accounts == []


async def test_what_does_not_fit_is_named(world):
    owner = await world.owner()
    for command in (
        UpdateAccount(metadata={"x": "a" * 17000}),
        CreateClient(name="x", metadata={"x": "a" * 17000}),
        CreateChannel(name="x", metadata={"x": "a" * 17000}),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await owner(command)
        assert [error.field for error in refused.value.errors] == ["metadata"]
    with pytest.raises(InvalidRequest) as refused:
        await owner(CreateChannel(name="a\x00b"))
    assert [error.field for error in refused.value.errors] == ["name"]


async def test_which_tenant_a_person_acts_for(world):
    ann = await world.owner()
    bob = await world.owner()

    def resolve(user, tenant_id=None):
        return world.gateway.call(ResolveMembership(user_id=user, tenant_id=tenant_id))

    only = await resolve(ann.user_id)
    assert (only.tenant_id, only.role, only.plan) == (ann.tenant_id, Role.OWNER, Plan.FREE)
    assert await resolve(ann.user_id, ann.tenant_id) == only

    answers = []
    for tenant_id in (bob.tenant_id, new_id(), "", "junk", "x" * 5000, f"{ann.tenant_id}\n"):
        with pytest.raises(Forbidden) as refused:
            await resolve(ann.user_id, tenant_id)
        answers.append((refused.value.code, refused.value.detail, refused.value.errors))
    assert len(set(answers)) == 1
    for nobody in ("nobody", "", "u" * 3000):
        with pytest.raises(Forbidden):
            await resolve(nobody)
    await bob(AddMember(user_id=ann.user_id, role=Role.VIEWER))
    with pytest.raises(TenantRequired):
        await resolve(ann.user_id)
    assert (await resolve(ann.user_id, bob.tenant_id)).role is Role.VIEWER


async def test_accounts_in_pages_and_cursors_of_one_person(world):
    ann, bob = world.user(), world.user()
    made = [await ann(CreateAccount(name=f"Acme {n}")) for n in range(5)]
    seen, cursor = [], None
    while True:
        page = await ann(ListAccounts(limit=2, cursor=cursor))
        seen += page.accounts
        cursor = page.next_cursor
        if cursor is None:
            break
        for other, stolen in ((bob, cursor), (ann, swapped(cursor)), (ann, "junk")):
            with pytest.raises(InvalidCursor):
                await other(ListAccounts(cursor=stolen))
    assert sorted(a.account_id for a in seen) == sorted(a.account_id for a in made)


async def test_an_operator_changes_the_plan(world):
    owner = await world.owner()
    changed = await world.operator(ChangePlan(tenant_id=owner.tenant_id, plan=Plan.PRO))
    assert (changed.plan, changed.limits.clients) == (Plan.PRO, 50)
    assert world.identity.plans[owner.tenant_id] is Plan.PRO
    await world.heard(PlanChanged, tenant_id=owner.tenant_id, plan=Plan.PRO)
    with pytest.raises(Forbidden):
        await owner(ChangePlan(tenant_id=owner.tenant_id, plan=Plan.ENTERPRISE))
    for unknown in (new_id(), "junk", ""):
        with pytest.raises(CommandError) as refused:
            await world.operator(ChangePlan(tenant_id=unknown, plan=Plan.PRO))
        assert refused.value.code == "account_not_found"


# -- roles and members ---------------------------------------------------------------------------


async def test_what_each_role_may_do(world):
    owner = await world.owner()
    client, channel = await owner.client(), await owner.channel()
    reads = (
        GetAccount(),
        ListMembers(),
        ListClients(),
        ListChannels(),
        GetClient(client_id=client.client_id),
        GetChannel(channel_id=channel.channel_id),
    )
    writes = (
        CreateClient(name="x"),
        UpdateClient(client_id=client.client_id, name="x"),
        RegenerateClientKey(client_id=client.client_id),
        DeleteClient(client_id=client.client_id),
        CreateChannel(name="x"),
        UpdateChannel(channel_id=channel.channel_id, name="x"),
        DeleteChannel(channel_id=channel.channel_id),
    )
    manages = (
        UpdateAccount(name="x"),
        AddMember(user_id="x"),
        UpdateMember(user_id=owner.user_id, role=Role.VIEWER),
        RemoveMember(user_id=owner.user_id),
    )
    viewer, member = await owner.colleague(Role.VIEWER), await owner.colleague(Role.MEMBER)
    for command in reads:
        await viewer(command)
    refusals = [(viewer, writes + manages), (member, manages)]
    outsider = world.user()
    refusals.append((outsider, reads + writes + manages))
    refusals.append((outsider.at(owner.tenant_id, ""), reads + writes + manages))
    for person, commands in refusals:
        for command in commands:
            with pytest.raises(Forbidden):
                await person(command)
    for command in (
        *writes[:3],
        CreateChannel(name="y"),
        UpdateChannel(channel_id=channel.channel_id, name="z"),
    ):
        if command != writes[1]:
            await member(command)


async def test_clients_and_services_have_no_say(world):
    owner = await world.owner()

    async def call(actor, command):
        caller = CallerContext(request_id="test", tenant_id=owner.tenant_id, actor=actor, role="owner")
        return await world.gateway.call(command, caller=caller)

    with pytest.raises(Forbidden):
        await call("client:c", ListClients())
    assert (await call("service:metering", GetAccount())).account_id == owner.tenant_id
    with pytest.raises(Forbidden):
        await call("service:metering", CreateClient(name="x"))
    with pytest.raises(Forbidden):
        await call("client:c", CreateAccount(name="x"))


async def test_members_come_change_and_go(world):
    owner = await world.owner()
    bob = await owner.colleague(Role.MEMBER)
    tenant_id = owner.tenant_id
    await world.heard(MembershipChanged, tenant_id=tenant_id, user_id=bob.user_id, role=Role.MEMBER)
    with pytest.raises(MemberExists):
        await owner(AddMember(user_id=bob.user_id))
    assert (await owner(UpdateMember(user_id=bob.user_id, role=Role.VIEWER))).role is Role.VIEWER
    await world.heard(MembershipChanged, tenant_id=tenant_id, user_id=bob.user_id, role=Role.VIEWER)
    roles = {m.user_id: m.role for m in (await owner(ListMembers())).members}
    assert roles == {owner.user_id: Role.OWNER, bob.user_id: Role.VIEWER}
    assert (await owner(RemoveMember(user_id=bob.user_id))).user_id == bob.user_id
    await world.heard(MembershipChanged, tenant_id=tenant_id, user_id=bob.user_id, role=None)
    for unknown in (bob.user_id, "", "u" * 3000):
        with pytest.raises(MemberNotFound):
            await owner(RemoveMember(user_id=unknown))
        with pytest.raises(MemberNotFound):
            await owner(UpdateMember(user_id=unknown, role=Role.VIEWER))
    with pytest.raises(Forbidden):
        await world.gateway.call(ResolveMembership(user_id=bob.user_id, tenant_id=tenant_id))


async def test_only_owners_make_and_unmake_owners(world):
    owner = await world.owner()
    admin, member = await owner.colleague(Role.ADMIN), await owner.colleague(Role.MEMBER)
    for command in (
        AddMember(user_id="x", role=Role.OWNER),
        UpdateMember(user_id=member.user_id, role=Role.OWNER),
        UpdateMember(user_id=admin.user_id, role=Role.OWNER),
        UpdateMember(user_id=owner.user_id, role=Role.ADMIN),
        RemoveMember(user_id=owner.user_id),
    ):
        with pytest.raises(Forbidden):
            await admin(command)
    await admin(UpdateMember(user_id=member.user_id, role=Role.ADMIN))
    await owner(UpdateMember(user_id=member.user_id, role=Role.OWNER))
    await member.at(owner.tenant_id, Role.OWNER)(UpdateMember(user_id=owner.user_id, role=Role.VIEWER))
    roles = {m.user_id: m.role for m in (await owner(ListMembers())).members}
    assert roles[owner.user_id] is Role.VIEWER


async def test_anybody_may_leave_but_the_last_owner(world):
    owner = await world.owner()
    viewer = await owner.colleague(Role.VIEWER)
    await viewer(RemoveMember(user_id=viewer.user_id))
    with pytest.raises(LastOwner):
        await owner(RemoveMember(user_id=owner.user_id))
    with pytest.raises(LastOwner):
        await owner(UpdateMember(user_id=owner.user_id, role=Role.ADMIN))
    assert (await owner(UpdateMember(user_id=owner.user_id, role=Role.OWNER))).role is Role.OWNER


@pytest.mark.parametrize("how", ["remove", "demote"])
async def test_two_owners_who_undo_each_other_leave_one(world, how):
    ann = await world.owner()
    for _ in range(3):
        bob = await ann.colleague(Role.OWNER)

        def undo(person):
            if how == "remove":
                return RemoveMember(user_id=person.user_id)
            return UpdateMember(user_id=person.user_id, role=Role.MEMBER)

        done, refused = await outcomes(ann(undo(bob)), bob(undo(ann)))
        assert len(done) == 1
        assert refused == [LastOwner]
        owners = [m.user_id for m in (await ann(ListMembers())).members if m.role is Role.OWNER]
        assert len(owners) == 1
        ann = ann if owners == [ann.user_id] else bob


# -- clients -------------------------------------------------------------------------------------


async def test_a_client_from_key_to_deletion(world):
    owner = await world.owner()
    made = await owner(CreateClient(name="Robot", metadata={"a": 1.5}))
    client = made.client
    assert nkeys.KeyPair(made.nkey_seed).public == client.nkey_public
    assert (client.tenant_id, client.status, client.last_seen) == (
        owner.tenant_id,
        ClientStatus.OFFLINE,
        None,
    )
    assert client.permissions == Permissions()
    ids = {"tenant_id": owner.tenant_id, "client_id": client.client_id}
    await world.heard(ClientChanged, **ids, nkey_public=client.nkey_public)
    assert await owner(GetClient(client_id=client.client_id)) == client
    assert (await owner(ListClients())).clients == [client]

    renamed = await owner(UpdateClient(client_id=client.client_id, name="Robot 2", metadata={}))
    assert (renamed.name, renamed.metadata, renamed.nkey_public) == ("Robot 2", {}, client.nkey_public)
    assert await owner(GetClient(client_id=client.client_id)) == renamed

    assert await owner(DeleteClient(client_id=client.client_id)) == renamed
    await world.heard(ClientRevoked, **ids, nkey_public=client.nkey_public, reason=RevocationReason.DELETED)
    for command in (
        GetClient(client_id=client.client_id),
        UpdateClient(client_id=client.client_id, name="x"),
        DeleteClient(client_id=client.client_id),
        RegenerateClientKey(client_id=client.client_id),
    ):
        with pytest.raises(ClientNotFound):
            await owner(command)
    assert (await owner(ListClients())).clients == []


async def test_suspending_and_new_permissions_end_connections(world):
    owner = await world.owner()
    client = await owner.client()
    cid = client.client_id
    suspended = await owner(UpdateClient(client_id=cid, status=ClientState.SUSPENDED))
    assert suspended.status is ClientStatus.SUSPENDED
    await world.heard(ClientRevoked, client_id=cid, reason=RevocationReason.SUSPENDED)
    credential = await world.gateway.call(FindClientCredential(client_id=cid))
    assert credential.state is ClientState.SUSPENDED
    assert (await owner(ListClients(status=ClientStatus.SUSPENDED))).clients == [suspended]
    assert (await owner(ListClients(status=ClientStatus.OFFLINE))).clients == []
    active = await owner(UpdateClient(client_id=cid, status=ClientState.ACTIVE))
    assert active.status is ClientStatus.OFFLINE

    narrow = Permissions(publish=["a.>"], subscribe=[])
    assert (await owner(UpdateClient(client_id=cid, permissions=narrow))).permissions == narrow
    await world.heard(ClientRevoked, client_id=cid, reason=RevocationReason.PERMISSIONS_CHANGED)
    before = len(world.events)
    await owner(UpdateClient(client_id=cid, permissions=narrow, name="same permissions"))
    await world.heard(ClientChanged, client_id=cid)
    assert not any(isinstance(event, ClientRevoked) for event in world.events[before:])


async def test_a_permission_that_leaves_the_tenant_is_refused(world):
    owner, other = await world.owner(), await world.owner()
    client = await owner.client()
    issued = len(world.identity.keys)
    leaving = Permissions(publish=[">"], subscribe=["a", f"tenant.{other.tenant_id}.>"])
    for command in (
        CreateClient(name="x", permissions=leaving),
        UpdateClient(client_id=client.client_id, permissions=leaving),
    ):
        with pytest.raises(InvalidPermission) as refused:
            await owner(command)
        assert [error.field for error in refused.value.errors] == ["permissions.subscribe[1]"]
    assert len(world.identity.keys) == issued


async def test_a_new_key_replaces_the_old_one(world):
    owner = await world.owner()
    client = await owner.client()
    made = await owner(RegenerateClientKey(client_id=client.client_id))
    assert nkeys.KeyPair(made.nkey_seed).public == made.client.nkey_public != client.nkey_public
    await world.heard(ClientRevoked, nkey_public=client.nkey_public, reason=RevocationReason.KEY_REGENERATED)
    found = await world.gateway.call(FindClientCredential(nkey_public=made.client.nkey_public))
    assert (found.client_id, found.tenant_id) == (client.client_id, owner.tenant_id)
    with pytest.raises(ClientNotFound):
        await world.gateway.call(FindClientCredential(nkey_public=client.nkey_public))


async def test_of_new_keys_made_at_once_those_given_out_work(world):
    owner = await world.owner()
    client = await owner.client()
    before = set(world.identity.keys)
    done, refused = await outcomes(
        *(owner(RegenerateClientKey(client_id=client.client_id)) for _ in range(4))
    )
    assert len(done) + len(refused) == 4
    assert done
    assert set(refused) <= {KeyConflict}
    current = (await owner(GetClient(client_id=client.client_id))).nkey_public
    assert current in {made.client.nkey_public for made in done}
    for key in {client.nkey_public, *world.identity.keys} - before | {client.nkey_public}:
        if key != current:
            with pytest.raises(ClientNotFound):
                await world.gateway.call(FindClientCredential(nkey_public=key))
    # Each key that was replaced was revoked: the first one, and any that a later call replaced.
    for made in done:
        if made.client.nkey_public != current:
            await world.heard(ClientRevoked, nkey_public=made.client.nkey_public)


async def test_credentials_are_found_by_key_or_id_only(world):
    owner = await world.owner()
    client = await owner.client()

    def find(**fields):
        return world.gateway.call(FindClientCredential(**fields))

    found = await find(client_id=client.client_id)
    assert found == await find(nkey_public=client.nkey_public)
    assert found == await find(nkey_public=client.nkey_public, client_id=client.client_id)
    other = await owner.client("other")
    unknown = nkeys.create(nkeys.KeyKind.USER).public
    for fields in (
        {"client_id": new_id()},
        {"client_id": ""},
        {"client_id": f"name#{owner.tenant_id}#robot"},
        {"nkey_public": unknown},
        {"nkey_public": ""},
        {"nkey_public": "junk"},
        {"nkey_public": client.nkey_public, "client_id": other.client_id},
    ):
        with pytest.raises(ClientNotFound):
            await find(**fields)
    with pytest.raises(InvalidRequest):
        await find()


async def test_of_twenty_at_once_as_many_clients_as_the_plan_allows(world):
    owner = await world.owner()
    done, refused = await outcomes(*(owner(CreateClient(name=f"robot {n}")) for n in range(20)))
    assert len(done) == 3
    assert set(refused) == {PlanLimitReached}
    assert len((await owner(ListClients())).clients) == 3
    issued = len(world.identity.keys)
    with pytest.raises(PlanLimitReached):
        await owner.client("one more")
    assert len(world.identity.keys) == issued

    await owner(DeleteClient(client_id=done[0].client.client_id))
    again = await owner.client("one more")
    with pytest.raises(PlanLimitReached):
        await owner.client("and another")
    gone, missing = await outcomes(*(owner(DeleteClient(client_id=again.client_id)) for _ in range(5)))
    assert len(gone) == 1
    assert set(missing) == {ClientNotFound}
    done, _ = await outcomes(*(owner(CreateClient(name=f"robot {n}")) for n in range(30, 35)))
    assert len(done) == 1
    await world.operator(ChangePlan(tenant_id=owner.tenant_id, plan=Plan.BASIC))
    await owner.client("now there is room")


async def test_of_ten_with_one_name_one(world):
    owner, other = await world.owner(Plan.BASIC), await world.owner()
    done, refused = await outcomes(
        *(owner(CreateClient(name="Robot" if n % 2 else "rOBOT")) for n in range(10))
    )
    assert len(done) == 1
    assert refused == [NameTaken] * 9
    issued = len(world.identity.keys)
    with pytest.raises(NameTaken):
        await owner.client("ROBOT")
    assert len(world.identity.keys) == issued
    await other.client("Robot")


async def test_a_rename_frees_the_old_name(world):
    owner = await world.owner(Plan.BASIC)
    caf, other = await owner.client("Caf\u00e9"), await owner.client("other")
    with pytest.raises(NameTaken):
        await owner(UpdateClient(client_id=other.client_id, name="CAFE\u0301"))
    assert (await owner(UpdateClient(client_id=caf.client_id, name="CAF\u00c9"))).name == "CAF\u00c9"
    await owner(UpdateClient(client_id=caf.client_id, name="bar"))
    await owner(UpdateClient(client_id=other.client_id, name="caf\u00e9"))
    await owner(DeleteClient(client_id=other.client_id))
    await owner.client("cafe\u0301")


async def test_names_stay_true_when_changed_at_once(world):
    owner = await world.owner(Plan.ENTERPRISE)
    ids = [(await owner.client(f"robot {n}")).client_id for n in range(4)]
    done, refused = await outcomes(*(owner(UpdateClient(client_id=cid, name="the one")) for cid in ids))
    assert (len(done), refused) == (1, [NameTaken] * 3)

    one = ids[0]
    done, refused = await outcomes(*(owner(UpdateClient(client_id=one, name=f"new {n}")) for n in range(4)))
    assert (len(done), refused) == (4, [])
    last = (await owner(GetClient(client_id=one))).name
    for name in {f"new {n}" for n in range(4)} - {last}:
        await owner.client(name)
    with pytest.raises(NameTaken):
        await owner.client(last)

    for n in range(3):
        cid = (await owner.client(f"brief {n}")).client_id
        await outcomes(
            owner(UpdateClient(client_id=cid, name=f"renamed {n}")), owner(DeleteClient(client_id=cid))
        )
        with pytest.raises(ClientNotFound):
            await owner(GetClient(client_id=cid))
        for name in (f"brief {n}", f"renamed {n}"):
            await owner.client(name)


async def test_changes_of_different_fields_at_once_are_all_kept(world):
    owner = await world.owner()
    cid = (await owner.client()).client_id
    narrow = Permissions(publish=["a"], subscribe=["a"])
    await asyncio.gather(
        owner(UpdateClient(client_id=cid, name="new")),
        owner(UpdateClient(client_id=cid, metadata={"a": 1})),
        owner(UpdateClient(client_id=cid, permissions=narrow)),
    )
    client = await owner(GetClient(client_id=cid))
    assert (client.name, client.metadata, client.permissions) == ("new", {"a": 1}, narrow)


# -- isolation and lists -------------------------------------------------------------------------


async def test_nothing_of_another_tenant_can_be_reached(world):
    ann, bob = await world.owner(Plan.BASIC), await world.owner(Plan.BASIC)
    client, channel = await ann.client(), await ann.channel()
    hidden = (f"name#{ann.tenant_id}#robot", f"name#{ann.tenant_id}#news", "", "x" * 3000)
    for cid in (client.client_id, *hidden):
        for command in (
            GetClient(client_id=cid),
            UpdateClient(client_id=cid, name="mine"),
            UpdateClient(client_id=cid, metadata={"mine": True}),
            RegenerateClientKey(client_id=cid),
            DeleteClient(client_id=cid),
        ):
            with pytest.raises(ClientNotFound):
                await bob(command)
    for cid in (channel.channel_id, *hidden):
        for command in (
            GetChannel(channel_id=cid),
            UpdateChannel(channel_id=cid, name="mine"),
            UpdateChannel(channel_id=cid, description="mine"),
            DeleteChannel(channel_id=cid),
        ):
            with pytest.raises(ChannelNotFound):
                await bob(command)
    for cid in hidden:
        with pytest.raises(ClientNotFound):
            await ann(GetClient(client_id=cid))
        with pytest.raises(ChannelNotFound):
            await ann(DeleteChannel(channel_id=cid))
    with pytest.raises(MemberNotFound):
        await bob(RemoveMember(user_id=ann.user_id))
    assert (await bob(ListClients())).clients == []
    assert (await bob(ListChannels())).channels == []
    assert (await ann(ListClients())).clients == [client]
    assert (await ann(ListChannels())).channels == [channel]


async def test_cursors_belong_to_a_tenant_and_a_list(world):
    ann, bob = await world.owner(), await world.owner()
    for n in range(2):
        await ann.client(f"robot {n}")
        await ann.channel(f"channel {n}")
        await ann.colleague(Role.VIEWER)
    lists = (ListClients, ListChannels, ListMembers)
    cursors = {kind: (await ann(kind(limit=1))).next_cursor for kind in lists}
    for kind, cursor in cursors.items():
        await ann(kind(limit=1, cursor=cursor))
        for stranger, text in (
            (bob, cursor),
            (ann, swapped(cursor)),
            (ann, cursor[:-4]),
            (ann, ""),
            *((ann, cursors[other]) for other in lists if other is not kind),
        ):
            with pytest.raises(InvalidCursor):
                await stranger(kind(cursor=text))


async def test_neither_other_tenants_nor_other_statuses_hide_a_client(world):
    ann, bob = await world.owner(Plan.BASIC), await world.owner(Plan.BASIC)
    mine = []
    for n in range(6):
        await bob.client(f"robot {n}")
        mine.append(await ann.client(f"robot {n}"))
    last = await ann(UpdateClient(client_id=mine[-1].client_id, status=ClientState.SUSPENDED))
    for client in (await bob(ListClients())).clients:
        await bob(UpdateClient(client_id=client.client_id, status=ClientState.SUSPENDED))
    assert (await ann(ListClients(limit=1, status=ClientStatus.SUSPENDED))).clients == [last]
    seen, cursor = [], None
    while True:
        page = await ann(ListClients(limit=2, cursor=cursor, status=ClientStatus.OFFLINE))
        seen += page.clients
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.clients) == 2
    assert seen == mine[:-1]


# -- presence ------------------------------------------------------------------------------------


async def test_status_follows_presence_in_the_order_of_things(world):
    owner, other = await world.owner(), await world.owner()
    client = await owner.client()
    start = now()

    async def tell(online, seconds, *, told=None, client_id=client.client_id, tenant_id=owner.tenant_id):
        seen = start + timedelta(seconds=seconds)
        await world.presence.publish(
            PresenceChanged(
                tenant_id=tenant_id,
                client_id=client_id,
                account="A",
                online=online,
                last_seen=seen,
                occurred_at=seen if told is None else start + timedelta(seconds=told),
            )
        )

    async def until(status, seconds):
        async with asyncio.timeout(3):
            while True:
                seen = await owner(GetClient(client_id=client.client_id))
                if (seen.status, seen.last_seen) == (status, start + timedelta(seconds=seconds)):
                    return seen
                await asyncio.sleep(0.02)

    await tell(online=True, seconds=10)
    online = await until(ClientStatus.ONLINE, 10)
    assert online.updated_at == client.updated_at
    assert (await owner(ListClients(status=ClientStatus.ONLINE))).clients == [online]

    # Late, of a stranger, of nobody: none of it counts, and none of it stops what follows.
    await tell(online=False, seconds=5)
    await tell(online=False, seconds=20, tenant_id=other.tenant_id)
    await tell(online=False, seconds=20, client_id=new_id())
    await tell(online=False, seconds=20, client_id="")
    await tell(online=False, seconds=20, client_id=f"name#{owner.tenant_id}#robot")
    marker = await owner.client("marker")
    await tell(online=True, seconds=1, client_id=marker.client_id)
    async with asyncio.timeout(3):
        while (await owner(GetClient(client_id=marker.client_id))).status is not ClientStatus.ONLINE:
            await asyncio.sleep(0.02)
    await until(ClientStatus.ONLINE, 10)

    # A silent connection that broke was last seen when it came.
    await tell(online=False, seconds=10, told=11)
    offline = await until(ClientStatus.OFFLINE, 10)
    assert offline in (await owner(ListClients(status=ClientStatus.OFFLINE))).clients
    await tell(online=True, seconds=30)
    await until(ClientStatus.ONLINE, 30)
    suspended = await owner(UpdateClient(client_id=client.client_id, status=ClientState.SUSPENDED))
    assert suspended.status is ClientStatus.SUSPENDED
    assert (await owner(ListClients(status=ClientStatus.ONLINE))).clients != [suspended]


# -- channels ------------------------------------------------------------------------------------


async def test_a_channel_from_opening_to_closing(world):
    owner = await world.owner()
    channel = await owner.channel("News", description="d", metadata={"a": None})
    assert channel.subject == f"tenant.{owner.tenant_id}.channel.{channel.channel_id}"
    assert await owner(GetChannel(channel_id=channel.channel_id)) == channel
    ids = {"tenant_id": owner.tenant_id, "channel_id": channel.channel_id}
    await world.heard(ChannelChanged, **ids, deleted=False)
    with pytest.raises(NameTaken):
        await owner.channel("nEWS")
    changed = await owner(UpdateChannel(channel_id=channel.channel_id, name="Olds", description=""))
    assert (changed.name, changed.description, changed.subject) == ("Olds", "", channel.subject)
    assert changed.metadata == {"a": None}
    await owner.channel("news")
    assert await owner(DeleteChannel(channel_id=channel.channel_id)) == changed
    await world.heard(ChannelChanged, **ids, deleted=True)
    with pytest.raises(ChannelNotFound):
        await owner(DeleteChannel(channel_id=channel.channel_id))
    await owner.channel("olds")


async def test_of_many_at_once_as_many_channels_as_the_plan_allows(world):
    owner = await world.owner()
    done, refused = await outcomes(*(owner(CreateChannel(name=f"channel {n}")) for n in range(15)))
    assert len(done) == 10
    assert refused == [PlanLimitReached] * 5
    await owner.client("counted apart")


async def test_anothers_ids_cost_the_store_what_unknown_ids_do(world, monkeypatch):
    """The same calls of the same tables, so that no clock tells what exists."""
    owner, stranger = await world.owner(), await world.owner()
    client, channel = await owner.client(), await owner.channel()
    made = []
    call = Database.call

    async def noted(self, operation, **arguments):
        made.append((current_caller().request_id, operation, arguments.get("TableName")))
        return await call(self, operation, **arguments)

    monkeypatch.setattr(Database, "call", noted)

    async def cost(command, tenant_id):
        caller = CallerContext(
            request_id=new_id(), tenant_id=tenant_id, actor=f"user:{stranger.user_id}", role=Role.OWNER.value
        )
        with pytest.raises(CommandError) as refusal:
            await world.gateway.call(command, caller=caller)
        calls = [rest for request_id, *rest in made if request_id == caller.request_id]
        assert calls
        return type(refusal.value), calls

    def about(client_id, channel_id, user_id):
        yield GetClient(client_id=client_id)
        yield UpdateClient(client_id=client_id, name="mine")
        yield UpdateClient(client_id=client_id, metadata={"a": 1})
        yield DeleteClient(client_id=client_id)
        yield RegenerateClientKey(client_id=client_id)
        yield GetChannel(channel_id=channel_id)
        yield UpdateChannel(channel_id=channel_id, name="mine")
        yield DeleteChannel(channel_id=channel_id)
        yield UpdateMember(user_id=user_id, role=Role.VIEWER)
        yield RemoveMember(user_id=user_id)

    theirs = about(client.client_id, channel.channel_id, owner.user_id)
    nothing = about(new_id(), new_id(), new_id())
    for one, other in zip(theirs, nothing, strict=True):
        assert await cost(one, stranger.tenant_id) == await cost(other, stranger.tenant_id), one
    resolved = [
        await cost(ResolveMembership(user_id=stranger.user_id, tenant_id=tenant_id), "")
        for tenant_id in (owner.tenant_id, new_id())
    ]
    assert resolved[0] == resolved[1]
    assert await owner(GetClient(client_id=client.client_id)) == client
    assert await owner(GetChannel(channel_id=channel.channel_id)) == channel
