"""One address has a limited number of sockets that have not authenticated, with either transport."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from support.actors import User
from support.waiting import eventually

LIMIT = 3


@pytest.fixture(scope="module", params=["direct", "asgi"])
async def org(new_stack, request):
    settings = {
        "ARTCAFE_UNAUTHENTICATED_SOCKETS_PER_ADDRESS": str(LIMIT),
        "ARTCAFE_WEBSOCKET_TRANSPORT": request.param,
        "ARTCAFE_HANDSHAKE_TIMEOUT_S": "2",
    }
    async with new_stack(settings) as stack:
        yield await (await User.sign_up(stack)).create_organization()


async def test_sockets_beyond_the_limit_are_rejected_until_others_have_authenticated(org):
    client = await org.create_client()
    url = client.connection["websocket_url"]
    # Those that have authenticated do not count.
    live = [await client.connect_websocket() for _ in range(2 * LIMIT)]
    waiting = [await client.connect_unauthenticated() for _ in range(LIMIT)]
    for path in (url, url.rpartition("/client/")[0] + "/dashboard"):
        with pytest.raises(InvalidStatus) as rejected:
            await connect(path, compression=None)
        response = rejected.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (429, "2")
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = json.loads(response.body)
        assert (problem["code"], problem["status"]) == ("too_many_sockets", 429)
        assert problem["request_id"] == response.headers["X-Request-Id"]
    await waiting[0].close()
    await asyncio.sleep(0.1)
    live.append(await client.connect_websocket())

    # Whoever does not answer gives the place back after the timeout.
    async def connects():
        try:
            return await asyncio.gather(*(client.connect_unauthenticated() for _ in range(LIMIT)))
        except InvalidStatus:
            return None

    await eventually(connects, within=20, every=0.5)
    for socket in live:
        assert socket.closed is None
