"""A client cannot make its stored messages arrive at the platform as another organization's."""

import asyncio
import json

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.js.errors import Error as JetStreamError

from support.broker import account_of
from support.waiting import QUIET_PERIOD_S, eventually

FORGED = 300


async def messages_used(tenant):
    return (await tenant.call("GET", "/usage/current", 200))["messages"]["used"]


async def test_stored_messages_do_not_count_against_another_organization(tenant, other_tenant):
    """A pull whose reply subject is imported by the platform delivers the *stored* subjects to it."""
    victim = await other_tenant.create_client()
    attacker = await tenant.create_client(permissions={"streams": "manage"})
    nc = await victim.connect_nats()
    for _ in range(500):
        await nc.publish(f"{other_tenant.id}.work", b"{}")
    await nc.flush()

    async def all_counted():
        return await messages_used(other_tenant) == 500

    await eventually(all_counted, within=20)

    evil = await attacker.connect_nats()
    stream = evil.jetstream()
    with pytest.raises(JetStreamError):
        await stream.add_stream(StreamConfig(name="EVIL", subjects=["artcafe.ingest.>"]))
    await stream.add_stream(StreamConfig(name="EVIL", subjects=[f"{tenant.id}.kept.>"]))
    forged = f"artcafe.ingest.{await account_of(other_tenant)}.heartbeat.{other_tenant.id}.{victim.id}"
    for _ in range(FORGED):
        await evil.publish(forged, b'{"ts":1}')
        await evil.publish(f"{tenant.id}.kept.{forged}", b'{"ts":1}')
    await evil.flush()
    await stream.add_consumer("EVIL", ConsumerConfig(durable_name="pull", ack_policy=AckPolicy.NONE))
    await evil.publish(
        "$JS.API.CONSUMER.MSG.NEXT.EVIL.pull",
        json.dumps({"batch": FORGED, "no_wait": True}).encode(),
        reply=f"_heartbeat.{tenant.id}.{attacker.id}",
    )
    await evil.flush()
    for _ in range(5):
        await asyncio.sleep(QUIET_PERIOD_S)
        # The victim's next message has the broker's counters read again.
        await nc.publish(f"{other_tenant.id}.work", b"{}")
        await nc.flush()

    async def counted():
        return await messages_used(other_tenant) == 505

    await eventually(counted, within=20)
