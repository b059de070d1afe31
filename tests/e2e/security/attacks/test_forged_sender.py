"""The broker's statement of who sent a message cannot be replaced by the sender's own."""

import asyncio
import json

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.js.errors import Error as JetStreamError

from support.broker import account_of, list_tenant_connections
from support.raw_nats import RawNats
from support.waiting import QUIET_PERIOD_S

# Header blocks in which the sender's own statement survives. The broker removes one header of the exact name, cuts off
# the last two bytes, and appends its own, which an unfinished line then swallows.
FORGERIES = {
    "twice, then an unfinished line": b"NATS/1.0\r\n{info}\r\n{info}\r\nX: yzz",
    "a space before the colon, then an unfinished line": b"NATS/1.0\r\n{spaced}\r\nX: yzz",
    "in another header's value, then an unfinished line": b"NATS/1.0\r\nA: Nats-Request-Info\r\n{info}\r\nX: yzz",
    "twice": b"NATS/1.0\r\n{info}\r\n{info}\r\n\r\n",
    "a space before the colon": b"NATS/1.0\r\n{spaced}\r\n\r\n",
    "after an unfinished first line": b"NATS/1.0 \r\n{info}\r\n{info}\r\nX: yzz",
}


def header_block(form, info):
    line = b"Nats-Request-Info: " + json.dumps(info).encode()
    return form.replace(b"{info}", line).replace(b"{spaced}", line.replace(b":", b" :", 1))


async def presence_of(client):
    return await client.tenant.call("GET", f"/clients/{client.id}/status", 200)


@pytest.mark.parametrize("form", FORGERIES)
async def test_client_cannot_report_as_another_client_of_its_organization(tenant, form):
    victim, attacker = await tenant.create_client(), await tenant.create_client()
    nc = await victim.connect_nats()
    await nc.publish(f"_heartbeat.{tenant.id}.{victim.id}", b'{"status":"mine"}')
    await nc.flush()
    info = await forged_info(victim, nc)
    raw = await RawNats.connect(attacker)
    subject = f"_HEARTBEAT.tenant.{tenant.id}.client.{victim.id}".encode()
    raw.publish(subject, b'{"status":"error"}', headers=header_block(FORGERIES[form], info))
    await raw.ping()
    await asyncio.sleep(QUIET_PERIOD_S)
    assert (await presence_of(victim))["health"] != "unhealthy"


@pytest.mark.parametrize("form", FORGERIES)
async def test_stored_message_cannot_report_as_a_client_of_another_organization(tenant, other_tenant, form):
    """JetStream delivers stored subjects and headers to the platform; a stored statement is none of the broker's."""
    victim = await other_tenant.create_client()
    attacker = await tenant.create_client(permissions={"streams": "manage"})
    nc = await victim.connect_nats()
    await nc.publish(f"_heartbeat.{other_tenant.id}.{victim.id}", b'{"status":"mine"}')
    await nc.flush()
    info = await forged_info(victim, nc)
    evil = await attacker.connect_nats()
    stream = evil.jetstream()
    with pytest.raises(JetStreamError):
        await stream.add_stream(StreamConfig(name="EVIL", subjects=["artcafe.ingest.>"]))
    await stream.add_stream(StreamConfig(name="EVIL", subjects=[f"{tenant.id}.kept.>"]))
    raw = await RawNats.connect(attacker)
    subject = f"artcafe.ingest.{info['acc']}.status.{other_tenant.id}.{victim.id}"
    for each in (subject, f"{tenant.id}.kept.{subject}"):
        raw.publish(each.encode(), b'{"status":"error"}', headers=header_block(FORGERIES[form], info))
    await raw.ping()
    await stream.add_consumer("EVIL", ConsumerConfig(durable_name="pull", ack_policy=AckPolicy.NONE))
    for kind in (f"_heartbeat.{tenant.id}.{attacker.id}", f"_METRICS.tenant.{tenant.id}.client.x"):
        await evil.publish("$JS.API.CONSUMER.MSG.NEXT.EVIL.pull", b'{"batch":1,"no_wait":true}', reply=kind)
    await evil.flush()
    await asyncio.sleep(QUIET_PERIOD_S)
    assert (await presence_of(victim))["health"] != "unhealthy"


async def forged_info(victim, nc):
    """What the broker states for the victim's connection."""
    listed = await list_tenant_connections(victim.tenant)
    connection = next(each for each in listed if each.cid == nc.client_id)
    return {
        "acc": await account_of(victim.tenant),
        "user": victim.id,
        "id": connection.cid,
        "server": "nats-1",
        "kind": "Client",
        "issuer_key": connection.issuer_key,
        "start": connection.start.isoformat(),
    }
