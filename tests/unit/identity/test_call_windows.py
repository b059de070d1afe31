"""A burst of calls of one account waits neither here nor in the broker: the broker answers what is too much."""

import asyncio

import nats
import nats.errors
import pytest

from artcafe_common.broker.connect import connect_once
from artcafe_identity.call_windows import WINDOW, CallWindows
from support.nats_server import running_nats_server
from support.raw_nats import RawNats
from support.waiting import eventually


@pytest.fixture(scope="module")
async def server():
    async with running_nats_server() as server:
        yield server


class Service:
    """Receives calls, and answers them when the test says so."""

    def __init__(self, nc):
        self._nc = nc
        self.received = []
        self.windows = CallWindows(nc, lambda account, message: self.received.append((account, message)))

    async def answer(self, count):
        for account, message in self.received[:count]:
            await message.respond(b"ok")
            await self.windows.finished(account)
        del self.received[:count]
        await self._nc.flush()


@pytest.fixture
async def service(server):
    nc = await connect_once(server.url)
    service = Service(nc)
    await service.windows.update({"A", "B"})
    await nc.flush()
    yield service
    await nc.close()


@pytest.fixture
async def caller(server):
    nc = await nats.connect(server.url, allow_reconnect=False)
    yield nc
    await nc.close()


async def call(caller, account):
    """What is answered; "refused" when the broker does so itself."""
    try:
        return (await caller.request(f"artcafe.streams.{account}.INFO", b"", timeout=5)).data
    except nats.errors.NoRespondersError:
        return "refused"


def burst(caller, account, count):
    return [asyncio.create_task(call(caller, account)) for _ in range(count)]


async def test_burst_is_refused_by_the_broker_and_leaves_other_accounts_alone(service, caller):
    calls = burst(caller, "A", 1_000)
    done, waiting = await asyncio.wait(calls, timeout=2)
    assert (len(done), len(waiting)) == (1_000 - WINDOW, WINDOW)
    assert {each.result() for each in done} == {"refused"}
    assert [account for account, _ in service.received] == ["A"] * WINDOW
    (other,) = burst(caller, "B", 1)
    await eventually(lambda: len(service.received) == WINDOW + 1)
    service.received.insert(0, service.received.pop())
    await service.answer(1)
    assert await other == b"ok"
    await service.answer(WINDOW)
    await asyncio.wait(calls)


async def test_more_is_accepted_once_half_was_answered(service, caller):
    calls = burst(caller, "A", 200)
    await asyncio.wait(calls, timeout=1)
    await service.answer(WINDOW // 2 - 1)
    (refused,) = burst(caller, "A", 1)
    assert await refused == "refused"
    await service.answer(1)
    more = burst(caller, "A", WINDOW // 2 + 1)
    await eventually(lambda: len(service.received) == WINDOW)
    await service.answer(WINDOW)
    assert (await asyncio.gather(*more)).count("refused") == 1
    await asyncio.wait(calls)


async def test_calls_one_after_another_are_never_refused(service, caller):
    for _ in range(4 * WINDOW):
        (one,) = burst(caller, "A", 1)
        await eventually(lambda: service.received, every=0.001)
        await service.answer(1)
        assert await one == b"ok"


async def test_messages_that_cannot_be_read_do_not_end_the_window(service, caller, server):
    raw = await RawNats.open("127.0.0.1", server.port)
    await raw.log_in()
    for _ in range(WINDOW):
        raw.publish(b"artcafe.streams.A.INFO", b"", headers=b"X")
    await raw.ping()
    await asyncio.sleep(0.2)
    await service.windows.update({"A", "B"})
    await service.answer(0)
    (one,) = burst(caller, "A", 1)
    await eventually(lambda: service.received)
    await service.answer(len(service.received))
    assert await one == b"ok"


async def test_account_that_is_gone_is_not_listened_to(service, caller):
    await service.windows.update({"B", "C"})
    await service.answer(0)
    (gone,) = burst(caller, "A", 1)
    assert await gone == "refused"
    (new,) = burst(caller, "C", 1)
    await eventually(lambda: service.received)
    await service.answer(1)
    assert await new == b"ok"
