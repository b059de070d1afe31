"""The contracts hold: each command has one name and one endpoint, each error one code, and both cross the bus."""

import asyncio
import importlib
import inspect
import re
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from artcafe_common.broker.connect import connect
from artcafe_common.bus.caller import CallerContext, current_caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Command, Empty, Event, Signal, reply_type, service_of
from artcafe_common.bus.endpoints import EndpointServer, collect_handlers
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
from artcafe_common.contracts.health import HEALTH_COMMANDS
from artcafe_common.dev.stack import Stack
from docs.generate.declarations import every_error
from support.stack import free_ports

SERVICES = ("identity", "tenancy", "presence", "metering")


COMMANDS = declared(Command)
DECLARED_ERRORS = {error for command in COMMANDS for error in command.raises}


# -- the declarations ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.__name__)
def test_command_declaration_is_complete(command):
    service = service_of(command)
    # The module or package of one service, right below `contracts`.
    module = command.__module__.removeprefix("artcafe_common.contracts.").partition(".")[0]
    assert command.subject.startswith("artcafe.")
    assert service in SERVICES
    assert module in (service, "health")
    assert re.fullmatch(r"artcafe\.[a-z]+(\.[a-z_]+){1,2}", command.subject)
    assert inspect.cleandoc(command.__doc__ or "")
    assert command.__doc__ != Command.__doc__
    assert isinstance(reply_type(command), type)
    assert 0 < command.deadline_s <= 30
    assert len({error.code for error in command.raises}) == len(command.raises)


def test_subjects_are_unique():
    everything = [*COMMANDS, *declared(Event), *declared(Signal)]
    assert [s for s, n in Counter(each.subject for each in everything).items() if n > 1] == []


def test_event_and_signal_declarations_are_complete():
    for kind in (*declared(Event), *declared(Signal)):
        assert kind.__doc__ not in (None, Event.__doc__, Signal.__doc__), kind
        prefix = "artcafe.events." if issubclass(kind, Event) else "artcafe."
        assert kind.subject.startswith(prefix), kind


def test_every_command_has_exactly_one_endpoint():
    answered = Counter()
    for service in SERVICES:
        found = collect_handlers(importlib.import_module(f"artcafe_{service}.endpoints").Endpoints)
        assert {service_of(command) for command in found} == {service}
        answered.update(list(found))
    answered.update(list(HEALTH_COMMANDS.values()))
    assert answered == Counter(dict.fromkeys(COMMANDS, 1))


def test_error_codes_are_unique():
    errors = every_error()
    codes = Counter(error.code for error in errors)
    assert [code for code, count in codes.items() if count > 1] == []
    for error in errors:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code), error
        assert 400 <= error.status <= 599, error
        assert error.title, error
        assert error.__doc__, error
    assert [
        error for error in errors if error.__module__.startswith("artcafe_common") and not error.remedy
    ] == []


# -- over the real bus ---------------------------------------------------------------------------


class Fails(Command[Empty], frozen=True, kw_only=True):
    """Raises whatever it is told to."""

    subject = "artcafe.tenancy.test.fails"
    raises = tuple(DECLARED_ERRORS)
    code: str


class Sleeps(Command[Empty], frozen=True, kw_only=True):
    """Takes its time."""

    subject = "artcafe.tenancy.test.sleeps"
    seconds: float


class Quick(Command[Empty], frozen=True, kw_only=True):
    """Takes none."""

    subject = "artcafe.tenancy.test.quick"
    number: int = 0


class Undeclared(CommandError):
    """In no contract."""

    status = 418
    code = "undeclared"
    title = "Not declared"


RAISED = {error.code: error for error in (*DECLARED_ERRORS, *COMMON_ERRORS, Undeclared)}


async def fails(request):
    if request.code == "a_bug":
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
async def broker(tmp_path_factory):
    """A real nats-server, nothing else."""
    stack = Stack(tmp_path_factory.mktemp("bus"), free_ports())
    async with AsyncExitStack() as exits:
        exits.push_async_callback(stack.down)
        stack.prepare()
        stack.start("nats")

        async def join(service):
            url = stack.environ()["NATS_URL"]
            nc = await connect(url, stack.directory / f"keys/{service}.creds", name=service)
            exits.push_async_callback(nc.close)
            return nc

        yield join


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
    with pytest.raises(error) as caught:
        await gateway.call(Fails(code=error.code))
    assert type(caught.value) is error
    assert caught.value.detail == "what happened"
    assert caught.value.errors == (FieldError(field="a.b", message="wrong"),)
    assert caught.value.retry_after_s == 7


async def test_unexpected_exception_is_not_leaked(gateway, tenancy):
    with pytest.raises(InternalError) as caught:
        await gateway.call(Fails(code="a_bug"))
    assert (caught.value.code, caught.value.status) == ("internal_error", 500)
    raw = await gateway.nc.request(Fails.subject, b'{"code":"a_bug"}', timeout=2)
    assert b"42" not in raw.data
    assert "42" not in str(raw.headers)
    assert "RuntimeError" not in str(raw.headers)


async def test_undeclared_error_becomes_bad_gateway(gateway, tenancy):
    with pytest.raises(BadGateway) as caught:
        await gateway.call(Fails(code="undeclared"))
    assert (caught.value.code, caught.value.status) == ("bad_gateway", 502)


async def test_malformed_reply_becomes_bad_gateway(gateway, broker):
    nc = await broker("tenancy")

    async def babble(message):
        await message.respond(b"[1, 2")

    subscription = await nc.subscribe(Quick.subject, cb=babble)
    await nc.flush()
    with pytest.raises(BadGateway):
        await gateway.call(Quick())
    await subscription.unsubscribe()
    await nc.flush()


async def test_request_that_violates_the_contract_is_rejected(gateway, tenancy):
    for body in (b"{}", b'{"code":1}', b'{"code":"x","extra":1}', b"not json"):
        raw = await gateway.nc.request(Fails.subject, body, timeout=2)
        assert raw.headers["Nats-Service-Error"] == InvalidRequest.code


async def test_missing_service_fails_fast_or_is_waited_for(gateway, broker):
    began = asyncio.get_running_loop().time()
    with pytest.raises(ServiceUnavailable) as caught:
        await gateway.call(Quick(), wait_for_recovery=False)
    assert (caught.value.code, caught.value.status) == ("service_unavailable", 503)
    assert asyncio.get_running_loop().time() - began < 1

    waiting = asyncio.create_task(gateway.call(Quick()))
    await asyncio.sleep(0.3)
    server = EndpointServer(await broker("tenancy"), "tenancy")
    await server.start()
    await server.add_endpoint(Quick, quick)
    assert await waiting == Empty()
    await server.stop()


async def test_slow_reply_exceeds_the_deadline(gateway, tenancy):
    with pytest.raises(DeadlineExceeded) as caught:
        await gateway.call(Sleeps(seconds=2), deadline_s=0.2)
    assert (caught.value.code, caught.value.status) == ("deadline_exceeded", 504)
    await asyncio.sleep(0.1)
    assert not tenancy._running  # what nobody waits for any more is ended


async def test_slow_command_delays_no_other(gateway, tenancy):
    slow = asyncio.create_task(gateway.call(Sleeps(seconds=4), deadline_s=20))
    await asyncio.sleep(0.05)
    await asyncio.gather(*(gateway.call(Quick(number=n)) for n in range(100)))
    assert not slow.done()
    await slow


async def test_stopping_server_finishes_running_commands_and_accepts_no_new(gateway, tenancy):
    running = asyncio.create_task(gateway.call(Sleeps(seconds=0.5)))
    await asyncio.sleep(0.1)
    stopping = asyncio.create_task(tenancy.stop())
    await asyncio.sleep(0.1)
    with pytest.raises(ServiceUnavailable):
        await gateway.call(Quick(), wait_for_recovery=False)
    assert not running.done()
    assert await running == Empty()
    await stopping


async def test_caller_context_reaches_the_handler(gateway, broker):
    seen = []

    async def note(_request):
        seen.append(current_caller())
        return Empty()

    server = EndpointServer(await broker("tenancy"), "tenancy")
    await server.start()
    await server.add_endpoint(Quick, note)
    await server._nc.flush()
    caller = CallerContext(
        request_id="r",
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        tenant_id="t",
        actor="user:u",
        role="owner",
    )
    await gateway.call(Quick(), caller=caller)
    (got,) = seen
    assert (got.request_id, got.tenant_id, got.actor, got.role) == ("r", "t", "user:u", "owner")
    assert got.traceparent.split("-")[1] == "a" * 32
    assert got.traceparent != caller.traceparent  # a step of its own
    await server.stop()
