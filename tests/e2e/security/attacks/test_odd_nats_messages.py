"""What one client writes to the broker, in whatever bytes, disturbs nobody else's messages or requests."""

import asyncio
import json
import time

import pytest

from support.actors import set_plan
from support.raw_nats import RawNats
from support.waiting import QUIET_PERIOD_S, eventually

# Subject, reply and headers of a PUB or HPUB; {tid} is the attacker's organization.
ODD_MESSAGES = {
    "subject that is not UTF-8": (b"{tid}.x.\xff\xfe", b"", b""),
    "reply that is not UTF-8": (b"{tid}.x", b"_INBOX.\xff", b""),
    "subject with a vertical tab": (b"{tid}.x\x0b1", b"", b""),
    "subject with a carriage return": (b"{tid}.x\r1", b"", b""),
    "headers without an end": (b"{tid}.x", b"", b"NATS/1.0\r\nA: b"),
    "headers that are only a version": (b"{tid}.x", b"", b"NATS/1.0"),
    "headers with an odd status": (b"{tid}.x", b"", b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
    "heartbeat that is not UTF-8": (b"_heartbeat.{tid}.\xff\xfe", b"", b""),
    "heartbeat with a vertical tab": (b"_heartbeat.{tid}.x\x0b1", b"", b""),
    "heartbeat with a carriage return": (b"_heartbeat.{tid}.x\r1", b"", b""),
    "heartbeat with headers without an end": (b"_heartbeat.{tid}.x", b"", b"NATS/1.0\r\nA: b"),
    "heartbeat with an odd status": (b"_heartbeat.{tid}.x", b"", b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
    "metrics that are not UTF-8": (b"_METRICS.tenant.{tid}.client.\xff", b"", b""),
    "status with an odd reply": (b"_HEARTBEAT.tenant.{tid}.client.x", b"\xff\xfe", b""),
}
REPETITIONS = 20


async def write_odd_message(raw, tenant, case):
    subject, reply, headers = ODD_MESSAGES[case]
    for _ in range(REPETITIONS):
        raw.publish(subject.replace(b"{tid}", tenant.id.encode()), reply=reply, headers=headers)
    await raw.ping()


@pytest.mark.parametrize("case", ODD_MESSAGES)
async def test_sockets_and_services_go_on(tenant, other_tenant, case):
    listener = await (await tenant.create_client()).connect_websocket()
    await listener.subscribe(subject=">")
    watched = await other_tenant.create_client()
    live = await watched.connect_nats()
    raw = await RawNats.connect(await tenant.create_client())

    await write_odd_message(raw, tenant, case)

    # The organization's own sockets hear the next message, over the same bridge.
    raw.publish(f"{tenant.id}.calm".encode(), b'"next"')
    await raw.ping()
    await listener.receive("message", within=2, subject="calm", data="next")
    # Presence answers other organizations at once, and sees their heartbeats.
    began = time.monotonic()
    status = await other_tenant.call("GET", f"/clients/{watched.id}/status", 200)
    assert time.monotonic() - began < 2
    assert status["client_id"] == watched.id
    await live.publish(f"_heartbeat.{other_tenant.id}.{watched.id}", b'{"status":"degraded"}')
    await live.flush()

    async def is_seen():
        status = await other_tenant.call("GET", f"/clients/{watched.id}/status", 200)
        return "degraded" in json.dumps(status["health"])

    await eventually(is_seen, within=3)


async def test_no_subject_reaches_another_subscription_of_a_service(tenant, other_tenant):
    """What follows a vertical tab in a subject is not the number of a subscription: of a command of presence.

    The command would reserve all connections of another organization.
    """
    victim = await other_tenant.create_client()
    await set_plan(other_tenant, "free")
    raw = await RawNats.connect(await tenant.create_client())
    caller = json.dumps({"request_id": "x", "tenant_id": other_tenant.id, "actor": "service:gateway"})
    headers = b"NATS/1.0\r\nArtcafe-Caller: %b\r\n\r\n" % caller.encode()
    for separator in (b"\x0b", b"\x0c"):
        for sid in range(1, 40):
            for number in range(10):
                subject = b"_heartbeat.%b.x%b%d" % (tenant.id.encode(), separator, sid)
                command = b'{"connection_id":"forged-%d","limit":1000000}' % number
                raw.publish(subject, command, headers=headers)
    await raw.ping()
    await asyncio.sleep(QUIET_PERIOD_S)
    socket = await victim.connect_websocket()
    assert socket.welcome
