"""Consumers of events: an event that cannot be handled is given up, and all others are handled once."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from artcafe_common.broker.connect import connect
from artcafe_common.bus import consumer as consumer_module
from artcafe_common.bus.client import Bus
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.metering import QuotaCrossed
from support.waiting import QUIET_PERIOD_S, eventually

SUBJECT = QuotaCrossed.subject
MALFORMED = [b"", b"\xff\xfe", b"[1]", b'{"tenant_id": 1}', b"[" * 100_000]


@pytest.fixture
async def buses(new_stack):
    """The buses of the publisher and of the consumer of an event."""
    async with AsyncExitStack() as exit_stack:
        stack = await exit_stack.enter_async_context(new_stack(servers=("nats",)))
        url = stack.environ()["NATS_URL"]
        connected = []
        for service in ("metering", "tenancy"):
            nc = await connect(url, stack.directory / f"keys/{service}.creds", name=service)
            exit_stack.push_async_callback(nc.close)
            connected.append(Bus(nc, service=service))
        await connected[0].ensure_events_stream()
        yield connected


@pytest.fixture
async def consume(buses):
    """Starts a consumer of the event with this handler."""
    tasks = []

    def start(handler, **options):
        consumer = EventConsumer(buses[1], "tenancy", {QuotaCrossed: handler}, **options)
        tasks.append(asyncio.create_task(consumer.run()))
        return consumer

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def crossed(percent):
    return QuotaCrossed(tenant_id="T", percent=percent, used=1, limit=1)


async def test_malformed_events_are_terminated_and_counted(buses, consume):
    handled = []

    async def handle(event):
        handled.append(event.percent)

    for number, data in enumerate(MALFORMED):
        await buses[0].publish_encoded(SUBJECT, f"odd {number}", data)
    await buses[0].publish(crossed(80))
    consumer = consume(handle)
    await eventually(lambda: handled == [80])
    assert consumer.terminated == len(MALFORMED)


@pytest.mark.parametrize("concurrent", [False, True])
async def test_event_that_its_handler_cannot_handle_is_given_up(buses, consume, monkeypatch, concurrent):
    monkeypatch.setattr(consumer_module, "MAX_DELIVERIES", 3)
    monkeypatch.setattr(consumer_module, "MAX_RETRY_DELAY_S", 0.05)
    handled = []

    async def handle(event):
        handled.append(event.percent)
        if event.percent == 80:
            raise KeyError

    consumer = consume(handle, concurrent=concurrent)
    for percent in (80, 100):
        await buses[0].publish(crossed(percent))
    await eventually(lambda: consumer.terminated == 1)
    await asyncio.sleep(QUIET_PERIOD_S)
    assert sorted(handled) == [80, 80, 80, 100]


async def test_events_are_kept_as_long_as_a_dependency_is_away(buses, consume, monkeypatch):
    monkeypatch.setattr(consumer_module, "MAX_DELIVERIES", 2)
    monkeypatch.setattr(consumer_module, "MAX_RETRY_DELAY_S", 0.05)
    attempts = []

    async def handle(event):
        attempts.append(event.percent)
        if len(attempts) < 6:
            raise OSError

    consumer = consume(handle)
    await buses[0].publish(crossed(80))
    await eventually(lambda: len(attempts) == 6)
    assert consumer.terminated == 0


async def test_long_batch_is_handled_once(buses, consume, monkeypatch):
    monkeypatch.setattr(consumer_module, "ACK_WAIT_S", 2)
    monkeypatch.setattr(consumer_module, "PROGRESS_INTERVAL_S", 0.1)
    handled = []

    async def handle(event):
        await asyncio.sleep(0.6)
        handled.append(event.percent)

    for percent in range(5):
        await buses[0].publish(crossed(percent))
    consume(handle)
    await eventually(lambda: len(handled) >= 5)
    await asyncio.sleep(1)
    assert handled == [0, 1, 2, 3, 4]


async def test_outage_of_a_store_is_no_traceback_for_each_event(buses, consume, monkeypatch):
    monkeypatch.setattr(consumer_module, "MAX_RETRY_DELAY_S", 0.05)
    attempts = []

    async def handle(event):
        attempts.append(event.percent)
        if len(attempts) < 3:
            raise StoreUnavailable("the store is away")

    with capture_logs() as logs:
        consumer = consume(handle)
        await buses[0].publish(crossed(80))
        await eventually(lambda: consumer.results["handled"])
    levels = [(each["event"], each["log_level"], each["reason"]) for each in logs if "reason" in each]
    assert levels == [("event_postponed", "warning", "the store is away")] * 2
