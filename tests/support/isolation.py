"""An organization that strangers try, and ids that nobody has."""

import json
import uuid
from contextlib import asynccontextmanager

from artcafe_common.clock import new_id
from support.agents import LegacyAgent
from support.snapshot import snapshot
from support.tokens import claims_of
from support.actors import eventually

# Whatever a stranger sends bears it.
STRANGE = "from a stranger"


@asynccontextmanager
async def besieged(tenant):
    """An organization with one of everything, and somebody in it who hears whatever is said there."""
    listener = await tenant.client("hears all")
    tenant.socket, tenant.nc, tenant.heard = await listener.websocket(), await listener.nats(), []
    await tenant.socket.subscribe(subject=">")

    async def hear(message):
        if _strange(message.subject, message.data.decode()):
            tenant.heard.append((message.subject, message.data))

    await tenant.nc.subscribe(">", cb=hear)
    await tenant.nc.flush()
    tenant.agent, tenant.legacy = await tenant.client("of the victim"), await LegacyAgent.register(tenant)
    channel = await tenant.channel("of the victim")
    await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": "kept"})
    subject = {"name": "of the victim", "pattern": "kept.>"}
    subject = await tenant.call("POST", "/subjects", 201, json=subject)
    tenant.ids = {
        "account_id": tenant.id,
        "user_id": claims_of(tenant.owner.token)["sub"],
        "client_id": tenant.agent.id,
        "agent_id": tenant.legacy.id,
        "channel_id": channel["channel_id"],
        "subject_id": subject["subject_id"],
        "email": tenant.owner.email,
    }
    # Both are there, alive, and nobody may disturb them.
    tenant.live = [await tenant.agent.websocket(), await tenant.legacy.websocket()]
    await eventually(lambda: _settled(tenant, {listener.id: 2, tenant.agent.id: 1}))
    before = await snapshot(tenant)
    await eventually(lambda: tenant.heard)
    await tenant.nc.flush()
    tenant.heard.clear()
    tenant.socket.take_all("message")
    yield tenant
    for socket in (tenant.socket, *tenant.live):
        assert await socket.ask("ping", "pong")
    await tenant.nc.flush()
    shown = [f for f in tenant.socket.frames("message") if _strange(f["subject"], json.dumps(f))]
    assert (tenant.heard, shown) == ([], [])
    assert await snapshot(tenant) == before


def _strange(subject, text):
    # The platform's own news of who comes and goes are no stranger's.
    return "presence." not in subject or STRANGE in text


async def _settled(tenant, connections):
    for client_id, count in connections.items():
        status = await tenant.call("GET", f"/clients/{client_id}/status", 200)
        if len(status["connections"]) != count:
            return False
    log = await tenant.call("GET", "/activity/logs?type=connection", 200)
    return len(log["logs"]) == 3


def nowhere():
    """Well-formed ids that nothing has."""
    names = ("account_id", "client_id", "agent_id", "channel_id", "subject_id")
    return {name: new_id() for name in names} | {
        "user_id": str(uuid.uuid4()),
        "email": f"{uuid.uuid4().hex[:12]}@example.com",
    }
