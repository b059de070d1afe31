"""The behaviour of the Python SDK on the real stack, over both transports."""

import pytest

import artcafe_client
from artcafe_client import AccessRevoked, State
from artcafe_client.error_codes import AuthenticationFailed, ForbiddenSubject
from support.cleanup import close_after_test
from support.sdk_behaviour import ClientBehaviour
from support.waiting import eventually


class StackWorld:
    def __init__(self, tenant, transport):
        self.tenant = tenant
        self.transport = transport

    async def connect(self, record=None, **options):
        record = record or await self.tenant.create_client()
        client = artcafe_client.connect(
            connection=record.connection,
            seed=record.seed,
            client_id=record.id,
            transport=self.transport,
            **{"first_backoff": 0.05, **options},
        )
        close_after_test(client, client.close)
        await client.open()
        assert client.transport == self.transport
        return client

    async def channel(self):
        return (await self.tenant.create_channel())["channel_id"]

    async def cut(self, client):
        """Break the connection below the client, as a network does."""
        link = client._connection.link
        below = (
            link._ws.transport if self.transport == "websocket" else link._nc._transport._io_writer.transport
        )
        below.abort()
        await eventually(lambda: client.transport == "", every=0.001)


@pytest.fixture(params=["websocket", "nats"])
async def world(request, tenant):
    return StackWorld(tenant, request.param)


class TestStack(ClientBehaviour):
    async def test_wrong_key_is_final(self, world):
        record, other = await world.tenant.create_client(), await world.tenant.create_client()
        record.seed = other.seed
        if world.transport == "nats":
            await world.tenant.call("DELETE", f"/clients/{other.id}", 200)
        with pytest.raises(AuthenticationFailed):
            await world.connect(record)

    async def test_client_without_permission(self, world):
        record = await world.tenant.create_client(permissions={"publish": ["in.>"], "subscribe": ["out.>"]})
        client = await world.connect(record)
        with pytest.raises(ForbiddenSubject):
            await client.publish("out.x", 1)
        with pytest.raises(ForbiddenSubject):
            await client.subscribe("in.x")
        assert (await client.publish("in.x", 1)).seq is None

    async def test_presence_is_shown(self, world):
        client = await world.connect()
        await client.presence.update(status="degraded", capabilities=["search"], metadata={"zone": "b"})

        async def shown():
            roster = (await world.tenant.call("GET", "/roster", 200))["roster"]
            return [
                m for m in roster if m.get("capabilities") == ["search"] and m["metadata"] == {"zone": "b"}
            ]

        assert await eventually(shown)
        assert client.state is State.CONNECTED


async def test_roster_has_everybody(world):
    tenant = world.tenant
    records = [await tenant.create_client() for _ in range(3)]
    client = await world.connect(records[0])

    async def complete():
        roster = {each["client_id"]: each["status"] for each in await client.presence.roster()}
        return roster.keys() == {record.id for record in records} and roster[records[0].id] == "online"

    # The catalog is read from an index, and presence is reported after the login.
    await eventually(complete)


async def test_revoked_client_is_told(tenant):
    record = await tenant.create_client()
    client = await StackWorld(tenant, "websocket").connect(record)
    subscription = await client.subscribe("x")
    await tenant.call("DELETE", f"/clients/{record.id}", 200)
    with pytest.raises(AccessRevoked, match="deleted"):
        await subscription.next(5)
    assert client.state is State.CLOSED


async def test_transports_meet(tenant):
    channel = (await tenant.create_channel())["channel_id"]
    clients = [await StackWorld(tenant, each).connect() for each in ("websocket", "nats")]
    for one, other in (clients, clients[::-1]):
        subject, stored = await other.subscribe("orders.>"), await other.channel(channel).subscribe()
        await one.publish("orders.new", {"n": 1})
        ack = await one.channel(channel).publish("kept")
        assert (await subject.next(5)).data == {"n": 1}
        assert (await stored.next(5)).seq == ack.seq
        await subject.unsubscribe()
        await stored.unsubscribe()


async def test_nats_is_taken_where_it_can_be_reached(tenant):
    record = await tenant.create_client()
    credentials = {"seed": record.seed, "client_id": record.id}
    async with artcafe_client.connect(connection=record.connection, **credentials) as client:
        assert client.transport == "nats"
    unreachable = {**record.connection, "nats_url": "nats://127.0.0.1:1"}
    async with artcafe_client.connect(connection=unreachable, **credentials) as client:
        assert client.transport == "websocket"


async def test_signed_messages_show_their_sender(tenant):
    record = await tenant.create_client()
    signer = await StackWorld(tenant, "nats").connect(record, sign=True)
    receiver = await StackWorld(tenant, "websocket").connect()
    subscription = await receiver.subscribe("orders.>")
    await signer.publish("orders.new", 1)
    assert (await subscription.next(5)).sender == record.id
