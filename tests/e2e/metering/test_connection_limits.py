"""The connection limit of a plan."""

import asyncio

import nats
import pytest
from websockets.asyncio.client import connect

from artcafe_common.plans import BRIDGE_ALLOWANCE, LIMITS, Plan
from support.actors import Socket, User, set_plan
from support.health import is_healthy, is_ready
from support.signing_keys import account_of, connect_minted_user
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


async def test_broker_bounds_the_connections_that_presence_does_not_count(limited_stack, org):
    client = await org.create_client()
    await set_plan(org, "free")
    first = await client.connect_nats()
    account = await account_of(first)
    own_key = (await org.call("POST", f"/accounts/generate-nkey/{org.id}", 201))["nkey_seed"]
    allowed = LIMITS[Plan.FREE].connections + BRIDGE_ALLOWANCE
    await limited_stack.supervisor.stop("presence")
    try:
        # Identity does not see these users log in.
        opened = [first]

        async def fill():
            while len(opened) <= allowed:
                opened.append(await connect_minted_user(limited_stack, account, own_key))

        with pytest.raises(nats.errors.Error, match="maximum account active connections"):
            await fill()
        # The platform's own connections have some of the places.
        assert len(opened) > allowed - 10
        await set_plan(org, "enterprise")
        await connect_minted_user(limited_stack, account, own_key)
        await first.flush()
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


async def test_direct_login_beyond_the_plan_is_refused(org):
    client, limit = await org.create_client(), LIMITS[Plan.FREE].connections
    await set_plan(org, "free")
    results = await asyncio.gather(*(client.connect_nats() for _ in range(3 * limit)), return_exceptions=True)
    connected = [nc for nc in results if not isinstance(nc, BaseException)]
    assert len(connected) == limit
    with pytest.raises(nats.errors.Error):
        await client.connect_nats()
    await assert_rejected_by_limit(client)
    # A place that becomes free is available at once, over either transport.
    await connected.pop().close()
    socket = await eventually(lambda: connect_if_allowed(client))
    await socket.close()

    async def connect_again():
        try:
            return await client.connect_nats()
        except nats.errors.Error:
            return None

    await eventually(connect_again)
    # Another organization is not affected, and a larger plan applies at once.
    await set_plan(org, "basic")
    await eventually(connect_again, within=3)


async def test_newest_connections_end_after_a_change_to_a_smaller_plan(org):
    client, limit = await org.create_client(), LIMITS[Plan.FREE].connections
    oldest = [await client.connect_nats() for _ in range(limit - 1)]
    socket = await client.connect_websocket()
    newest = [await client.connect_nats(), await client.connect_nats()]
    last_socket = await client.connect_websocket()
    await eventually(lambda: has_connections(org, client, limit + 3))
    await set_plan(org, "free")
    assert await last_socket.wait_closed(within=3) == (1013, "plan_limit")
    await eventually(lambda: all(nc.is_closed for nc in newest), within=3)
    await eventually(lambda: has_connections(org, client, limit))
    assert all(nc.is_connected for nc in oldest)
    assert await socket.send_and_receive("ping", "pong")


async def test_connections_of_the_organizations_own_users_count_and_leave_the_platform_its_places(org):
    client, limit = await org.create_client(), LIMITS[Plan.FREE].connections
    channel = (await org.create_channel())["channel_id"]
    await set_plan(org, "free")
    first = await client.connect_nats()
    account = await account_of(first)
    key = await org.call("POST", f"/accounts/generate-nkey/{org.id}", 201)

    async def connect_own_user():
        # nats-py can wait without end for a connection that is ended while it logs in.
        async with asyncio.timeout(5):
            return await connect_minted_user(org.stack, account, key["nkey_seed"])

    async def connect_many():
        results = await asyncio.gather(*(connect_own_user() for _ in range(60)), return_exceptions=True)
        return [nc for nc in results if not isinstance(nc, BaseException)]

    connected = []
    for number in range(5):
        connected += await connect_many()
        # The gateway still enters the account: to publish, and to read the history.
        await org.call("POST", f"/channels/{channel}/messages", 202, json={"n": number})
    history = await org.call("GET", f"/channels/{channel}/messages", 200)
    assert [each["data"] for each in history["messages"]] == [{"n": number} for number in range(5)]

    def within_plan():
        return sum(nc.is_connected for nc in connected) <= limit - 1

    await eventually(within_plan, within=3)
    assert first.is_connected
    await assert_rejected_by_limit(client)
