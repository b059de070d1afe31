"""A bridge with a fake broker and a fake bus; a real Redis for the Lua scripts."""

import pytest

from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.bridges import connector
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.settings import Settings
from support.fakes.broker import BRIDGE_CREDENTIALS, FakeBroker
from support.fakes.bus import FakeBus
from support.fakes.clock import FakeClock
from support.fakes.ids import SIGNING_KEYS, TENANT
from support.waiting import eventually


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def broker(monkeypatch):
    broker = FakeBroker()
    monkeypatch.setattr(connector, "BridgeConnection", broker.create_connection)
    monkeypatch.setattr(connector, "FIRST_RECONNECT_DELAY_S", 0)
    monkeypatch.setattr(connector, "MAX_RECONNECT_DELAY_S", 0)
    return broker


@pytest.fixture
def bus():
    return FakeBus({IssueBridgeCredentials: BRIDGE_CREDENTIALS})


@pytest.fixture
async def bridge(broker, bus):
    """An open bridge."""
    bridge = Bridge(tenant_id=TENANT, bus=bus, settings=Settings(), signing_keys=SIGNING_KEYS)
    await bridge.open()
    yield bridge
    await bridge.close()


@pytest.fixture(scope="module")
async def redis_stack(new_stack):
    async with new_stack(servers=("redis",)) as stack:
        yield stack


@pytest.fixture
async def redis_client(redis_stack):
    client = RedisClient(redis_stack.environ()["REDIS_URL"])

    async def ready():
        try:
            return await client.time()
        except Exception:  # noqa: BLE001 - until the server accepts connections
            return None

    await eventually(ready)
    yield client
    await client.close()
