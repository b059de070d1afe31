"""The status that a client reports: known words are accepted, others are one error and no sign of death."""

import json

import pytest

from artcafe_common.contracts.presence import ReportedStatus
from support.agents import LegacyAgent
from support.waiting import eventually

NONSENSE = ("nonsense", "", "on line", "\x00", "s" * 512, "🙂")


@pytest.fixture(params=["client", "agent"])
async def peer(request, tenant):
    """A client or an agent with a socket."""
    who = await (tenant.create_client() if request.param == "client" else LegacyAgent.register(tenant))
    who.socket = await who.connect_websocket()
    return who


async def test_nonsense_status_is_one_error(peer):
    for kind in ("heartbeat", "presence"):
        for status in NONSENSE:
            await peer.socket.send(type=kind, status=status)
            assert await peer.socket.send_and_receive("ping", "pong")
            (error,) = peer.socket.drain("error")
            assert error["code"] == "bad_status"
    assert peer.socket.pending("heartbeat_ack") == []


async def test_every_known_status_is_accepted_in_any_case(peer):
    for status in [*ReportedStatus, "Online", "BUSY", None]:
        await peer.socket.send_and_receive("heartbeat", "heartbeat_ack", status=status)
        await peer.socket.send(type="presence", status=status)
    assert await peer.socket.send_and_receive("ping", "pong")
    assert peer.socket.pending("error") == []


async def test_nonsense_status_over_nats_is_ignored(tenant):
    client = await tenant.create_client()
    nc = await client.connect_nats()

    async def report(**body):
        await nc.publish(f"_HEARTBEAT.tenant.{tenant.id}.client.{client.id}", json.dumps(body).encode())
        await nc.flush()

    async def shows(health, n):
        status = await tenant.call("GET", f"/clients/{client.id}/status", 200)
        return (status["health"], status["metrics"]) == (health, {"n": n})

    await report(status="degraded", metrics={"n": 1})
    await eventually(lambda: shows("degraded", 1))
    for status in NONSENSE:
        await report(status=status, metrics={"n": 2})
    # The heartbeat counts, the status stays.
    await eventually(lambda: shows("degraded", 2))
    await report(status="healthy", metrics={"n": 3})
    await eventually(lambda: shows("healthy", 3))
