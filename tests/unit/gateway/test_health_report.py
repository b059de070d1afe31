"""The cost of `/health`, and who sees its details."""

import asyncio
from types import SimpleNamespace

import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.health import HEALTH_COMMANDS, HealthReport
from artcafe_gateway.http.health_report import HealthLookup, may_see_details
from artcafe_gateway.settings import Settings
from support.fakes.bus import FakeBus

OK = HealthReport(status="ok", version="1", server_id="a", checks={})


class Redis:
    def __init__(self):
        self.checks = 0
        self.error = None

    async def check(self):
        self.checks += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def redis():
    return Redis()


@pytest.fixture
def bus():
    return FakeBus(dict.fromkeys(HEALTH_COMMANDS.values(), OK), nc=SimpleNamespace(is_connected=True))


@pytest.fixture
def gateway(redis, bus):
    return SimpleNamespace(settings=Settings(), redis=redis, bus=bus)


async def test_many_questions_cost_the_stores_one_look(gateway, redis, bus):
    health = HealthLookup(gateway)
    reports = await asyncio.gather(*(health.get() for _ in range(100)))
    reports += [await health.get() for _ in range(100)]
    assert {report.status for report in reports} == {"ok"}
    assert (redis.checks, len(bus.calls)) == (1, len(HEALTH_COMMANDS))


async def test_failing_checks_are_reported(gateway, redis, bus):
    redis.error = RuntimeError("of an unexpected kind")
    bus.replies[HEALTH_COMMANDS["tenancy"]] = ServiceUnavailable()
    report = await HealthLookup(gateway).get()
    assert report.status == "degraded"
    assert report.services["gateway"].status != "ok"
    assert report.services["tenancy"].status == "unavailable"
    assert report.services["identity"].status == "ok"


@pytest.mark.parametrize(
    ("host", "trusted", "expected"),
    [
        ("127.0.0.1", "", True),
        ("::1", "", True),
        ("::ffff:127.0.0.1", "", True),
        ("10.0.0.9", "", False),
        ("10.0.0.9", "10.0.0.0/24, 192.0.2.1", True),
        ("192.0.2.1", "10.0.0.0/24, 192.0.2.1", True),
        ("192.0.2.2", "10.0.0.0/24, 192.0.2.1", False),
        ("2001:db8::1", "10.0.0.0/8", False),
        ("unknown", "0.0.0.0/0", False),
    ],
)
def test_details_are_for_loopback_and_trusted_addresses(host, trusted, expected):
    connection = SimpleNamespace(client=SimpleNamespace(host=host))
    gateway = SimpleNamespace(settings=Settings(monitoring_addresses=trusted))
    assert may_see_details(connection, gateway) is expected
