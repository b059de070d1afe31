"""The connection limit of a plan."""

import asyncio

from websockets.asyncio.client import connect

from artcafe_common.plans import LIMITS, Plan
from support.actors import Socket, User, set_plan
from support.health import is_healthy, is_ready
from support.waiting import eventually


async def assert_rejected_by_limit(client):
    """Connect, and assert that the gateway rejects the connection because of the plan."""
    url = client.connection["websocket_url"]
    ws = await connect(url, compression=None)
    socket = Socket(ws)
    challenge = await socket.receive("challenge")
    await socket.send(type="auth", **client.sign_nonce(challenge["nonce"]))
    assert (await socket.receive("error"))["code"] == "plan_limit"
    assert await socket.wait_closed() == (1013, "plan_limit")


async def connect_if_allowed(client):
    """A socket, or None if the plan's limit is reached."""
    try:
        return await client.connect_websocket()
    except ConnectionError as error:
        if "(1013, 'plan_limit')" in str(error):
            return None
        raise


async def test_connection_limit_applies_across_workers_and_transports(limited_stack, org):
    client, limit = await org.create_client(), LIMITS[Plan.FREE].connections
    await set_plan(org, "free")
    direct = await client.connect_nats()
    await eventually(lambda: has_connections(org, client, 1))
    # Of many concurrent attempts, exactly as many succeed as the limit allows.
    sockets = await asyncio.gather(*(connect_if_allowed(client) for _ in range(4 * limit)))
    connected = [socket for socket in sockets if socket]
    assert len(connected) == limit - 1
    await eventually(lambda: has_connections(org, client, limit))
    await assert_rejected_by_limit(client)
    # Existing connections stay open. Closing one, over either transport, allows a new one.
    assert all([await socket.send_and_receive("ping", "pong") for socket in connected])
    await connected.pop().close()
    connected.append(await eventually(lambda: connect_if_allowed(client)))
    await direct.close()
    connected.append(await eventually(lambda: connect_if_allowed(client)))
    await assert_rejected_by_limit(client)
    # Dashboards do not count, and another organization has its own limit.
    await org.connect_dashboard()
    other = await (await User.sign_up(limited_stack)).create_organization()
    await (await other.create_client()).connect_websocket()
    await set_plan(org, "basic")
    await eventually(lambda: connect_if_allowed(client))


async def test_connections_of_a_killed_gateway_do_not_count(limited_stack, org):
    client, limit = await org.create_client(), LIMITS[Plan.FREE].connections
    await set_plan(org, "free")
    sockets = [await eventually(lambda: connect_if_allowed(client)) for _ in range(limit)]
    await assert_rejected_by_limit(client)
    limited_stack.supervisor.kill("gateway")
    for socket in sockets:
        await socket.wait_closed()
    await eventually(lambda: is_ready(org), within=30)
    for _ in range(limit):
        await eventually(lambda: connect_if_reachable(client), within=30, every=0.3)
    await assert_rejected_by_limit(client)


async def test_limit_is_not_enforced_without_presence(limited_stack, org):
    client = await org.create_client()
    await set_plan(org, "free")
    await client.connect_websocket()
    await limited_stack.supervisor.stop("presence")
    try:
        for _ in range(LIMITS[Plan.FREE].connections):
            await client.connect_websocket()
    finally:
        limited_stack.start("presence")
    await eventually(lambda: is_healthy(org), within=30)


async def connect_if_reachable(client):
    try:
        return await connect_if_allowed(client)
    except (OSError, ConnectionError):
        return None


async def has_connections(org, client, count):
    response = await org.http.get(f"/clients/{client.id}/status")
    return response.status_code == 200 and len(response.json()["connections"]) == count
