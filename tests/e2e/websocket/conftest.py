"""Two sockets of one organization."""

import pytest


@pytest.fixture
async def socket_pair(tenant):
    """The sockets of two clients."""
    one, other = await tenant.create_client(), await tenant.create_client()
    return await one.connect_websocket(), await other.connect_websocket()
