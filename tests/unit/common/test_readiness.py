"""Readiness: what the supervisor of a service's process is answered."""

import json

import pytest

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.runtime import Readiness
from artcafe_common.settings import ServiceSettings


class Connection:
    is_connected = True


class Store:
    def __init__(self):
        self.checks = 0
        self.down = False

    async def check(self):
        self.checks += 1
        if self.down:
            raise StoreUnavailable


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def readiness(store):
    made = Readiness(ServiceSettings(server_id="s"), {"redis": store.check}, Connection())
    made.serving = True
    return made


async def test_ready_service_says_what_it_checked(readiness):
    status, body = await readiness.respond()
    assert status == 200
    report = json.loads(body)
    assert report["status"] == "ok"
    assert report["checks"] == {"nats": "ok", "commands": "ok", "redis": "ok"}


async def test_service_is_not_ready_before_it_serves_commands(readiness):
    readiness.serving = False
    assert (await readiness.respond())[0] == 503


async def test_service_is_not_ready_without_the_broker(readiness):
    readiness._nc.is_connected = False
    assert (await readiness.respond())[0] == 503


async def test_service_is_not_ready_without_its_store(readiness, store):
    store.down = True
    status, body = await readiness.respond()
    assert status == 503
    assert json.loads(body)["checks"]["redis"] != "ok"


async def test_store_is_asked_at_most_once_a_second(readiness, store):
    for _ in range(20):
        await readiness.respond()
    assert store.checks == 1
