"""The connection limit of a plan."""

import asyncio

from websockets.asyncio.client import connect

from artcafe_common.plans import LIMITS, Plan
from support.actors import Socket, User, set_plan
from support.health import is_healthy, is_ready
from support.waiting import eventually


async def turned_away(agent):
    """Connect, and be told that the plan has no more places."""
    url = agent.connection["websocket_url"]
    ws = await connect(url, compression=None)
    socket = Socket(ws)
    challenge = await socket.receive("challenge")
    await socket.send(type="auth", **agent.sign_nonce(challenge["nonce"]))
    assert (await socket.receive("error"))["code"] == "plan_limit"
    assert await socket.wait_closed() == (1013, "plan_limit")
    return True


async def welcomed(agent):
    """A socket, or None when there is no place for it."""
    try:
        return await agent.connect_websocket()
    except ConnectionError as error:
        if "(1013, 'plan_limit')" in str(error):
            return None
        raise


async def test_connections_of_a_plan_are_counted_over_all_gateways_and_transports(limited_stack, org):
    agent, places = await org.create_client(), LIMITS[Plan.FREE].connections
    await set_plan(org, "free")
    direct = await agent.connect_nats()
    await eventually(lambda: _connections(org, agent, 1))
    # Many at once for the places that are left: as many win as there are places.
    sockets = await asyncio.gather(*(welcomed(agent) for _ in range(4 * places)))
    won = [socket for socket in sockets if socket]
    assert len(won) == places - 1
    await eventually(lambda: _connections(org, agent, places))
    assert await turned_away(agent)
    # Those that are in are not disturbed, and one that leaves makes room, whatever its transport.
    assert all([await socket.send_and_receive("ping", "pong") for socket in won])
    await won.pop().close()
    won.append(await eventually(lambda: welcomed(agent)))
    await direct.close()
    won.append(await eventually(lambda: welcomed(agent)))
    assert await turned_away(agent)
    # Who only looks on takes no place, and another organization has its limited_stack.
    await org.connect_dashboard()
    other = await (await User.sign_up(limited_stack)).create_organization()
    await (await other.create_client()).connect_websocket()
    await set_plan(org, "basic")
    await eventually(lambda: welcomed(agent))


async def test_a_killed_gateway_leaves_no_place_taken(limited_stack, org):
    agent, places = await org.create_client(), LIMITS[Plan.FREE].connections
    await set_plan(org, "free")
    sockets = [await eventually(lambda: welcomed(agent)) for _ in range(places)]
    assert await turned_away(agent)
    limited_stack.supervisor.kill("gateway")
    for socket in sockets:
        await socket.wait_closed()
    await eventually(lambda: is_ready(org), within=30)
    for _ in range(places):
        await eventually(lambda: _tried(agent), within=30, every=0.3)
    assert await turned_away(agent)


async def test_without_presence_sockets_are_let_in(limited_stack, org):
    agent = await org.create_client()
    await set_plan(org, "free")
    await agent.connect_websocket()
    await limited_stack.supervisor.stop("presence")
    try:
        for _ in range(LIMITS[Plan.FREE].connections):
            await agent.connect_websocket()
    finally:
        limited_stack.start("presence")
    await eventually(lambda: is_healthy(org), within=30)


async def _tried(agent):
    try:
        return await welcomed(agent)
    except (OSError, ConnectionError):
        return None


async def _connections(org, agent, count):
    answer = await org.http.get(f"/clients/{agent.id}/status")
    return answer.status_code == 200 and len(answer.json()["connections"]) == count
