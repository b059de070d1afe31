"""The monthly message quota over direct NATS."""

import asyncio

import nats
import pytest

from artcafe_common.plans import LIMITS, Plan
from support.actors import set_message_count, set_plan
from support.health import is_healthy
from support.signing_keys import account_of, connect_minted_user
from support.waiting import eventually

LIMIT = LIMITS[Plan.FREE].messages_per_month


class Publisher:
    """A direct client that reconnects by itself, and knows which of its messages arrived."""

    def __init__(self, client):
        self.client = client
        self.received = asyncio.Queue()
        self.violations = []

    async def connect(self):
        self.nc = await self.client.connect_nats(
            allow_reconnect=True, reconnect_time_wait=0.2, error_cb=self._record_error
        )
        await self.nc.subscribe("loop", cb=self._receive)
        await self.nc.flush()
        return self

    async def _receive(self, message):
        self.received.put_nowait(message.data)

    async def _record_error(self, error):
        if "permissions violation for publish" in str(error).lower():
            self.violations.append(error)

    async def publishes(self):
        """Whether a message that it publishes arrives."""
        while not self.received.empty():
            self.received.get_nowait()
        if not self.nc.is_connected:
            return False
        await self.nc.publish("loop", b"1")
        try:
            await asyncio.wait_for(self.received.get(), 0.2)
        except TimeoutError:
            return False
        return True

    async def is_refused(self):
        """Whether the broker says so: while it reconnects, a message is merely lost."""
        self.violations.clear()
        return not await self.publishes() and bool(self.violations)


async def test_direct_publishing_is_refused_from_the_quota_until_the_plan_changes(limited_stack, org):
    client, other = await org.create_client(), await org.create_client()
    await set_plan(org, "free")
    publisher = await Publisher(client).connect()
    own_key = (await org.call("POST", f"/accounts/generate-nkey/{org.id}", 201))["nkey_seed"]
    account = await account_of(publisher.nc)
    own_user = await connect_minted_user(limited_stack, account, own_key)
    await set_message_count(limited_stack, org, LIMIT - 1)
    assert await publisher.publishes()
    # The last message allowed was published; within three seconds nothing is.
    await eventually(publisher.is_refused, within=4)
    await eventually(lambda: own_user.is_closed, within=1)
    with pytest.raises(nats.errors.Error):
        await connect_minted_user(limited_stack, account, own_key)
    # Connections end once, and those that come back stay.
    await asyncio.sleep(0.6)
    assert publisher.nc.stats["reconnects"] == 1
    # Subscriptions go on, and heartbeats do.
    listener = await client.connect_nats()
    seen = asyncio.Queue()

    async def record(message):
        seen.put_nowait(message.subject)

    await listener.subscribe(f"tenant.{org.id}.presence.{other.id}", cb=record)
    await listener.flush()
    await other.connect_nats()
    await asyncio.wait_for(seen.get(), 3)
    await publisher.nc.publish(f"_heartbeat.{org.id}.{client.id}", b"{}")

    async def is_client_healthy():
        return (await org.call("GET", f"/clients/{client.id}/status", 200))["health"] == "healthy"

    await eventually(is_client_healthy, every=0.5)
    # Still so after a restart of identity.
    await limited_stack.supervisor.stop("identity")
    limited_stack.start("identity")
    await eventually(lambda: is_healthy(org), within=30)
    assert not await (await Publisher(other).connect()).publishes()
    await set_plan(org, "basic")
    await eventually(publisher.publishes, within=5)

    async def connects():
        try:
            return await connect_minted_user(limited_stack, account, own_key)
        except nats.errors.Error:
            return None

    await eventually(connects, within=3)


async def test_quota_of_one_organization_stops_no_other(limited_stack, org):
    bystander = await org.owner.create_organization("Other")
    await set_plan(org, "free")
    await set_plan(bystander, "free")
    publisher = await Publisher(await org.create_client()).connect()
    other = await Publisher(await bystander.create_client()).connect()
    await set_message_count(limited_stack, org, LIMIT)
    await publisher.publishes()
    await eventually(publisher.is_refused, within=4)
    assert other.nc.stats["reconnects"] == 0
    assert await other.publishes()
