"""A broker that pauses for longer than a flush may take ends no connection; a gateway that loses it finds what it missed."""

import asyncio

import pytest

from artcafe_common.broker.connect import connect
from artcafe_common.broker.system_account import kick, list_connections
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.tenancy.clients import DeleteClient
from artcafe_gateway.bridges.connector import FLUSH_TIMEOUT_S
from support.actors import User
from support.health import wait_until_healthy
from support.pausing import paused

PAUSE_S = FLUSH_TIMEOUT_S + 1


@pytest.fixture(scope="module")
async def paused_stack(new_stack):
    async with new_stack() as stack:
        yield stack


async def test_connections_that_were_flushing_go_on(paused_stack):
    tenant = await (await User.sign_up(paused_stack)).create_organization()
    publisher, listener = [await (await tenant.create_client()).connect_websocket() for _ in range(2)]
    await listener.subscribe(subject="x")
    logs = [
        paused_stack.directory / f"logs/{name}.log" for name in ("gateway", "presence", "tenancy", "identity")
    ]
    sizes = [log.stat().st_size for log in logs]

    async with paused(paused_stack.supervisor.pid("nats")):
        for number in range(5):
            await publisher.send(type="publish", subject="x", data=number, id=number)
        await asyncio.sleep(PAUSE_S)

    await wait_until_healthy(tenant)
    await publisher.send_and_receive("publish", "published", subject="x", data="after", id="after")
    await listener.receive("message", data="after")
    written = "".join(log.read_text()[size:] for log, size in zip(logs, sizes, strict=True))
    assert "nats_disconnected" not in written
    assert "bridge_reconnecting" not in written


async def test_revocation_that_a_gateway_missed_ends_the_session(paused_stack):
    tenant = await (await User.sign_up(paused_stack)).create_organization()
    revoked = await tenant.create_client()
    socket = await revoked.connect_websocket()
    url, keys = paused_stack.environ()["NATS_URL"], paused_stack.directory / "keys"
    system = await connect(url, keys / "identity-system.creds", name="identity")
    nc = await connect(url, keys / "gateway.creds", name="gateway")
    try:
        async with paused(paused_stack.supervisor.pid("gateway")):
            for listing in await list_connections(system):
                for each in listing.connections:
                    if each.name == "gateway" and each.cid != nc.client_id:
                        await kick(system, listing.server.id, each.cid)
            caller = CallerContext(request_id="test", tenant_id=tenant.id, actor="user:test", role="owner")
            await Bus(nc, service="gateway").call(DeleteClient(client_id=revoked.id), caller=caller)
        assert await socket.wait_closed(5) == (4403, "deleted")
    finally:
        await nc.close()
        await system.close()
