"""Checks that nothing another organization does reaches or changes an organization."""

import json
import uuid
from contextlib import asynccontextmanager

from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.clock import new_id
from support.agents import LegacyAgent
from support.snapshot import snapshot
from support.tokens import decode_claims
from support.waiting import eventually

# Part of everything that the other organization sends.
FOREIGN_MARKER = "from a stranger"


@asynccontextmanager
async def undisturbed(tenant):
    """Fill an organization with one of everything; assert at the end that it received and lost nothing."""
    listener = await tenant.create_client("hears all")
    socket, nc, received = await listener.connect_websocket(), await listener.connect_nats(), []
    await socket.subscribe(subject=">")

    async def record(message):
        if _is_foreign(message.subject, message.data.decode()):
            received.append((message.subject, message.data))

    await nc.subscribe(">", cb=record)
    await nc.flush()
    tenant.agent, tenant.legacy = (
        await tenant.create_client("of the victim"),
        await LegacyAgent.register(tenant),
    )
    channel = await tenant.create_channel("of the victim")
    await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": "kept"})
    subject = {"name": "of the victim", "pattern": "kept.>"}
    subject = await tenant.call("POST", "/subjects", 201, json=subject)
    key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    invited = {"email": "of-the-victim@example.com"}
    invitation = await tenant.call("POST", f"/accounts/{tenant.id}/invitations", 201, json=invited)
    tenant.ids = {
        "account_id": tenant.id,
        "user_id": decode_claims(tenant.owner.token)["sub"],
        "client_id": tenant.agent.id,
        "agent_id": tenant.legacy.id,
        "channel_id": channel["channel_id"],
        "subject_id": subject["subject_id"],
        "nkey_public": key["nkey_public"],
        "invitation_id": invitation["invitation_id"],
        "email": tenant.owner.email,
    }
    sockets = [socket, await tenant.agent.connect_websocket(), await tenant.legacy.connect_websocket()]
    await eventually(lambda: _connected(tenant, {listener.id: 2, tenant.agent.id: 1}))
    live = (await tenant.call("GET", "/connections", 200))["connections"]
    tenant.ids["connection_id"] = next(each["connection_id"] for each in live if each["kind"] == "client")
    before = await snapshot(tenant)
    # The organization's own message arrives first; what arrives after it is checked.
    await eventually(lambda: received)
    await nc.flush()
    received.clear()
    socket.drain("message")
    yield tenant
    for each in sockets:
        assert await each.send_and_receive("ping", "pong")
    await nc.flush()
    frames = [f for f in socket.pending("message") if _is_foreign(f["subject"], json.dumps(f))]
    assert (received, frames) == ([], [])
    assert await snapshot(tenant) == before


def _is_foreign(subject, text):
    # The platform's own presence events are expected.
    return "presence." not in subject or FOREIGN_MARKER in text


async def _connected(tenant, connections):
    for client_id, count in connections.items():
        status = await tenant.call("GET", f"/clients/{client_id}/status", 200)
        if len(status["connections"]) != count:
            return False
    log = await tenant.call("GET", "/activity/logs?type=connection", 200)
    return len(log["logs"]) == 3


def unknown_ids():
    """Well-formed ids that do not exist."""
    names = (
        *("account_id", "client_id", "agent_id", "channel_id", "subject_id", "connection_id"),
        "invitation_id",
    )
    return {name: new_id() for name in names} | {
        "user_id": str(uuid.uuid4()),
        "nkey_public": create_key_pair(KeyKind.ACCOUNT).public,
        "email": f"{uuid.uuid4().hex[:12]}@example.com",
    }
