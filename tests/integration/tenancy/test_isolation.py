"""Isolation of organizations, and lists."""

from functools import partial

import pytest

from artcafe_common.bus.caller import CallerContext, current_caller
from artcafe_common.bus.errors import CommandError, InvalidCursor
from artcafe_common.clock import new_id
from artcafe_common.contracts.tenancy.channels import (
    ChannelNotFound,
    DeleteChannel,
    GetChannel,
    ListChannels,
    UpdateChannel,
)
from artcafe_common.contracts.tenancy.clients import (
    ClientNotFound,
    ClientState,
    ClientStatus,
    DeleteClient,
    GetClient,
    ListClients,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.members import (
    ListMembers,
    MemberNotFound,
    RemoveMember,
    ResolveMembership,
    Role,
    UpdateMember,
)
from artcafe_common.plans import Plan
from artcafe_common.storage.dynamo import Database
from support.harness.tenancy import tampered
from support.waiting import eventually, eventually_equals


async def list_channels(actor):
    return (await actor(ListChannels())).channels


async def test_other_tenants_records_are_not_found(tenancy):
    ann, bob = await tenancy.owner(Plan.BASIC), await tenancy.owner(Plan.BASIC)
    client, channel = await ann.create_client(), await ann.create_channel()
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
    await eventually_equals(ann.list_clients, [client])
    await eventually_equals(lambda: list_channels(ann), [channel])
    assert await bob.list_clients() == await list_channels(bob) == []


async def test_cursor_is_valid_for_one_tenant_and_list(tenancy):
    ann, bob = await tenancy.owner(), await tenancy.owner()
    for n in range(2):
        await ann.create_client(f"robot {n}")
        await ann.create_channel(f"channel {n}")
        await ann.add_member(Role.VIEWER)
    lists = (ListClients, ListChannels, ListMembers)

    async def first_cursor(kind):
        return (await ann(kind(limit=1))).next_cursor

    cursors = {kind: await eventually(partial(first_cursor, kind)) for kind in lists}
    for kind, cursor in cursors.items():
        await ann(kind(limit=1, cursor=cursor))
        for actor, text in (
            (bob, cursor),
            (ann, tampered(cursor)),
            (ann, cursor[:-4]),
            (ann, ""),
            *((ann, cursors[other]) for other in lists if other is not kind),
        ):
            with pytest.raises(InvalidCursor):
                await actor(kind(cursor=text))


async def test_filtered_pages_are_full_despite_other_clients(tenancy):
    ann, bob = await tenancy.owner(Plan.BASIC), await tenancy.owner(Plan.BASIC)
    mine, theirs = [], []
    for n in range(6):
        theirs.append(await bob.create_client(f"robot {n}"))
        mine.append(await ann.create_client(f"robot {n}"))
    last = await ann(UpdateClient(client_id=mine[-1].client_id, status=ClientState.SUSPENDED))
    for client in theirs:
        await bob(UpdateClient(client_id=client.client_id, status=ClientState.SUSPENDED))
    await eventually_equals(
        lambda: ann.list_clients(limit=1, status=ClientStatus.SUSPENDED),
        [last],
    )
    seen, cursor = [], None
    while True:
        page = await ann(ListClients(limit=2, cursor=cursor, status=ClientStatus.OFFLINE))
        seen += page.clients
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.clients) == 2
    assert seen == mine[:-1]


async def test_other_tenants_ids_cost_the_same_store_calls_as_unknown_ids(tenancy, monkeypatch):
    """Otherwise the response time would show which ids exist."""
    owner, outsider = await tenancy.owner(), await tenancy.owner()
    client, channel = await owner.create_client(), await owner.create_channel()
    store_calls = []
    call = Database.call

    async def recorded(self, operation, **arguments):
        store_calls.append((current_caller().request_id, operation, arguments.get("TableName")))
        return await call(self, operation, **arguments)

    monkeypatch.setattr(Database, "call", recorded)

    async def cost(command, tenant_id):
        """The error and the store calls of a command."""
        caller = CallerContext(
            request_id=new_id(), tenant_id=tenant_id, actor=f"user:{outsider.user_id}", role=Role.OWNER.value
        )
        with pytest.raises(CommandError) as error:
            await tenancy.gateway.call(command, caller=caller)
        calls = [rest for request_id, *rest in store_calls if request_id == caller.request_id]
        assert calls
        return type(error.value), calls

    def commands(client_id, channel_id, user_id):
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

    foreign = commands(client.client_id, channel.channel_id, owner.user_id)
    unknown = commands(new_id(), new_id(), new_id())
    for one, other in zip(foreign, unknown, strict=True):
        assert await cost(one, outsider.tenant_id) == await cost(other, outsider.tenant_id), one
    resolved = [
        await cost(ResolveMembership(user_id=outsider.user_id, tenant_id=tenant_id), "")
        for tenant_id in (owner.tenant_id, new_id())
    ]
    assert resolved[0] == resolved[1]
