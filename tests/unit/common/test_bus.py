"""Commands and errors over a real broker."""

import asyncio
import time
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from artcafe_common.broker.connect import connect
from artcafe_common.bus import endpoints
from artcafe_common.bus.caller import CallerContext, current_caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Command, Empty, Query
from artcafe_common.bus.endpoints import EndpointServer
from artcafe_common.bus.errors import (
    COMMON_ERRORS,
    BadGateway,
    CommandError,
    DeadlineExceeded,
    FieldError,
    InternalError,
    InvalidRequest,
    ServiceUnavailable,
)
from artcafe_common.contracts.catalog import declared
from support.waiting import eventually, holds

DECLARED_ERRORS = {error for command in declared(Command) for error in command.raises}


class Fails(Command[Empty], frozen=True, kw_only=True):
    """Raises the error with a code."""

    subject = "artcafe.tenancy.test.fails"
    raises = tuple(DECLARED_ERRORS)
    code: str


class Sleeps(Command[Empty], frozen=True, kw_only=True):
    """Returns after some seconds."""

    subject = "artcafe.tenancy.test.sleeps"
    seconds: float


class Quick(Command[Empty], frozen=True, kw_only=True):
    """Returns at once."""

    subject = "artcafe.tenancy.test.quick"
    number: int = 0


class Reads(Query[Empty], frozen=True, kw_only=True):
    """Only reads, so that it may be sent twice."""

    subject = "artcafe.tenancy.test.reads"


class Undeclared(CommandError):
    """An error that no contract declares."""

    status = 418
    code = "undeclared"
    title = "Not declared"


RAISED = {error.code: error for error in (*DECLARED_ERRORS, *COMMON_ERRORS, Undeclared)}


async def fails(request):
    if request.code == "bug":
        raise RuntimeError("the secret is 42")
    raise RAISED[request.code](
        "what happened", errors=(FieldError(field="a.b", message="wrong"),), retry_after_s=7
    )


async def sleeps(request):
    await asyncio.sleep(request.seconds)
    return Empty()


async def quick(_request):
    return Empty()


@pytest.fixture(scope="module")
async def broker(new_stack):
    """Connects to a real nats-server with the credentials of a service."""
    async with AsyncExitStack() as exit_stack:
        stack = await exit_stack.enter_async_context(new_stack(servers=("nats",)))

        async def connect_as(service):
            url = stack.environ()["NATS_URL"]
            nc = await connect(url, stack.directory / f"keys/{service}.creds", name=service)
            exit_stack.push_async_callback(nc.close)
            return nc

        yield connect_as


@pytest.fixture(scope="module")
async def gateway(broker):
    return Bus(await broker("gateway"), service="gateway")


@pytest.fixture
async def tenancy(broker):
    """A service with the three endpoints above."""
    server = EndpointServer(await broker("tenancy"), "tenancy")
    await server.start()
    for command, handler in ((Fails, fails), (Sleeps, sleeps), (Quick, quick)):
        await server.add_endpoint(command, handler)
    await server._nc.flush()
    yield server
    await server.stop()


@pytest.mark.parametrize(
    "error", sorted(DECLARED_ERRORS | set(COMMON_ERRORS), key=lambda e: e.code), ids=lambda e: e.code
)
async def test_error_crosses_the_bus_unchanged(gateway, tenancy, error):
    with pytest.raises(error) as raised:
        await gateway.call(Fails(code=error.code))
    assert type(raised.value) is error
    assert raised.value.detail == "what happened"
    assert raised.value.errors == (FieldError(field="a.b", message="wrong"),)
    assert raised.value.retry_after_s == 7


async def test_unexpected_exception_is_not_leaked(gateway, tenancy):
    with pytest.raises(InternalError) as error:
        await gateway.call(Fails(code="bug"))
    assert (error.value.code, error.value.status) == ("internal_error", 500)
    raw = await gateway.nc.request(Fails.subject, b'{"code":"bug"}', timeout=2)
    assert b"42" not in raw.data
    assert "42" not in str(raw.headers)
    assert "RuntimeError" not in str(raw.headers)


async def test_undeclared_error_becomes_bad_gateway(gateway, tenancy):
    with pytest.raises(BadGateway) as error:
        await gateway.call(Fails(code="undeclared"))
    assert (error.value.code, error.value.status) == ("bad_gateway", 502)


async def test_malformed_reply_becomes_bad_gateway(gateway, broker):
    nc = await broker("tenancy")

    async def reply(message):
        await message.respond(b"[1, 2")

    subscription = await nc.subscribe(Quick.subject, cb=reply)
    await nc.flush()
    with pytest.raises(BadGateway):
        await gateway.call(Quick())
    await subscription.unsubscribe()
    await nc.flush()


async def test_request_that_violates_the_contract_is_rejected(gateway, tenancy):
    for body in (b"{}", b'{"code":1}', b'{"code":"x","extra":1}', b"not json"):
        raw = await gateway.nc.request(Fails.subject, body, timeout=10)
        assert raw.headers["Nats-Service-Error"] == InvalidRequest.code


async def test_missing_service_fails_fast_or_is_waited_for(gateway, broker):
    started_at = asyncio.get_running_loop().time()
    with pytest.raises(ServiceUnavailable) as error:
        await gateway.call(Quick(), wait_for_recovery=False)
    assert (error.value.code, error.value.status) == ("service_unavailable", 503)
    assert asyncio.get_running_loop().time() - started_at < 1

    waiting = asyncio.create_task(gateway.call(Quick()))
    await holds(lambda: not waiting.done(), for_s=0.3)
    server = EndpointServer(await broker("tenancy"), "tenancy")
    await server.start()
    await server.add_endpoint(Quick, quick)
    assert await waiting == Empty()
    await server.stop()


async def test_slow_reply_exceeds_the_deadline(gateway, tenancy):
    with pytest.raises(DeadlineExceeded) as error:
        await gateway.call(Sleeps(seconds=2), deadline_s=0.2)
    assert (error.value.code, error.value.status) == ("deadline_exceeded", 504)
    # The server cancels a command after its deadline.
    await eventually(lambda: not tenancy._running)


async def test_clocks_of_two_hosts_need_not_agree(gateway, tenancy, monkeypatch):
    for away_s in (-3600, 3600):
        clock = SimpleNamespace(
            time=lambda away_s=away_s: time.time() + away_s,
            monotonic=time.monotonic,
            perf_counter=time.perf_counter,
        )
        monkeypatch.setattr(endpoints, "time", clock)
        assert await gateway.call(Quick(), deadline_s=2) == Empty()
    monkeypatch.setattr(endpoints, "time", clock)
    with pytest.raises(DeadlineExceeded):
        await gateway.call(Sleeps(seconds=5), deadline_s=0.2)
    # The server cancels it as well.
    await eventually(lambda: not tenancy._running)


async def test_command_whose_caller_gave_up_while_it_waited_is_not_handled(gateway, broker):
    handled = []

    async def record(request):
        handled.append(request.seconds)
        return await sleeps(request)

    server = EndpointServer(await broker("tenancy"), "tenancy", concurrency=1)
    await server.start()
    await server.add_endpoint(Sleeps, record)
    await server._nc.flush()
    first = asyncio.create_task(gateway.call(Sleeps(seconds=0.5), deadline_s=5))
    await eventually(lambda: handled, every=0.01)
    with pytest.raises(DeadlineExceeded):
        await gateway.call(Sleeps(seconds=0.1), deadline_s=0.1)
    await first
    await gateway.call(Sleeps(seconds=0), deadline_s=5)
    assert handled == [0.5, 0]
    await server.stop()


class Instance:
    """One of two instances of a service; `lose` as if its host were gone with the command that it handles."""

    def __init__(self, nc):
        self._nc = nc
        self._server = EndpointServer(nc, "tenancy")
        self.handled = []

    async def start(self):
        await self._server.start()
        for command in (Reads, Quick):
            await self._server.add_endpoint(command, self._handle)
        await self._nc.flush()

    async def _handle(self, request):
        self.handled.append(type(request))
        await self.reply_after()
        return Empty()

    async def lose(self):
        await self._nc.close()

    async def stop(self):
        await self._server.stop()


@pytest.fixture
async def instances(broker):
    """Two instances of a service; each command goes to one of them."""
    started = [Instance(await broker("tenancy")) for _ in range(2)]
    for instance in started:
        await instance.start()
    yield started
    for instance in started:
        await instance.stop()


def first_is_lost(instances):
    """The instance that handles the first command is lost; the other replies."""

    async def reply_after(self):
        if sum(len(each.handled) for each in instances) == 1:
            await self.lose()
            await asyncio.sleep(2.5)

    return reply_after


async def test_query_of_a_lost_instance_is_answered_by_another(gateway, instances, monkeypatch):
    monkeypatch.setattr(Instance, "reply_after", first_is_lost(instances), raising=False)
    assert await gateway.call(Reads()) == Empty()
    assert [each.handled for each in instances] == [[Reads], [Reads]]


async def test_change_of_a_lost_instance_has_an_answer_within_two_seconds(gateway, instances, monkeypatch):
    monkeypatch.setattr(Instance, "reply_after", first_is_lost(instances), raising=False)
    started_at = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await gateway.call(Quick(), deadline_s=20)
    assert time.monotonic() - started_at < 3
    assert [Quick] in [each.handled for each in instances]


@pytest.mark.parametrize("command", [Reads(), Quick()])
async def test_slow_command_is_handled_once(gateway, instances, monkeypatch, command):
    async def reply_after(_self):
        await asyncio.sleep(2.5)

    monkeypatch.setattr(Instance, "reply_after", reply_after, raising=False)
    assert await gateway.call(command) == Empty()
    assert sum(len(each.handled) for each in instances) == 1


async def test_slow_command_delays_no_other(gateway, tenancy):
    slow = asyncio.create_task(gateway.call(Sleeps(seconds=4), deadline_s=20))
    await eventually(lambda: tenancy._running, every=0.01)
    await asyncio.gather(*(gateway.call(Quick(number=n)) for n in range(100)))
    assert not slow.done()
    await slow


async def test_stopping_server_finishes_running_commands_and_accepts_no_new(gateway, tenancy):
    running = asyncio.create_task(gateway.call(Sleeps(seconds=0.5)))
    await eventually(lambda: tenancy._running, every=0.01)
    stopping = asyncio.create_task(tenancy.stop())

    async def rejected():
        try:
            await gateway.call(Quick(), wait_for_recovery=False)
        except ServiceUnavailable:
            return True
        return False

    await eventually(rejected, every=0.01)
    assert not running.done()
    assert await running == Empty()
    await stopping


async def test_caller_context_reaches_the_handler(gateway, broker):
    callers = []

    async def record(_request):
        callers.append(current_caller())
        return Empty()

    server = EndpointServer(await broker("tenancy"), "tenancy")
    await server.start()
    await server.add_endpoint(Quick, record)
    await server._nc.flush()
    caller = CallerContext(
        request_id="r",
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        tenant_id="t",
        actor="user:u",
        role="owner",
    )
    await gateway.call(Quick(), caller=caller)
    (received,) = callers
    assert (received.request_id, received.tenant_id, received.actor, received.role) == (
        "r",
        "t",
        "user:u",
        "owner",
    )
    assert received.traceparent.split("-")[1] == "a" * 32
    assert received.traceparent != caller.traceparent  # a new span
    await server.stop()
