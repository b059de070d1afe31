"""Any part may die or come late: only what it owns is interrupted, and it comes back by itself."""

import asyncio
import random
import signal
import time

import httpx
import pytest

from artcafe_common.dev.stack import SERVERS, SERVICES
from support.actors import User
from support.waiting import eventually


@pytest.fixture(scope="module")
async def own_stack(new_stack):
    """A stack whose parts are killed; with short intervals, so that time passes quickly."""
    settings = {"ARTCAFE_HEARTBEAT_INTERVAL_S": "1", "ARTCAFE_HEARTBEAT_TIMEOUT_S": "3"}
    async with new_stack(settings) as running:
        yield running


@pytest.fixture
async def org(own_stack):
    return await (await User.sign_up(own_stack)).create_organization()


async def healthy(org):
    async def ok():
        try:
            return (await org.http.get("/health")).json()["status"] == "ok"
        except (httpx.HTTPError, ValueError):
            return False

    await eventually(ok, within=30)


class Flow:
    """Messages that flow from one to another, ten a second, until stopped."""

    def __init__(self, send, received):
        self._send = send
        self._received = received
        self.sent = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            await self._send(self.sent)
            self.sent += 1
            await asyncio.sleep(0.02)

    async def complete(self):
        """Stop; every message that was sent came, once and in order."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        # The last one may have been cut off in the sending.
        await eventually(lambda: len(self._received()) >= self.sent)
        assert self._received()[: self.sent] == list(range(self.sent))
        assert self.sent > 20


async def flows(org):
    """One pair over NATS, one over WebSocket."""
    direct = [await (await org.create_client()).connect_nats() for _ in range(2)]
    heard = []

    async def hear(message):
        heard.append(int(message.data))

    await direct[1].subscribe(f"{org.id}.direct", cb=hear)
    await direct[1].flush()

    async def send_direct(number):
        await direct[0].publish(f"{org.id}.direct", str(number).encode())

    sockets = [await (await org.create_client()).connect_websocket() for _ in range(2)]
    await sockets[1].subscribe(subject="sockets")

    async def send_socket(number):
        await sockets[0].send(type="publish", subject="sockets", data=number)

    over_nats = Flow(send_direct, lambda: heard)
    over_websocket = Flow(send_socket, lambda: [frame["data"] for frame in sockets[1].pending("message")])

    return over_nats, over_websocket, sockets, beat(sockets)


def beat(sockets):
    """Keep sockets alive until cancelled: the stack's timeout is short."""

    async def run():
        while True:
            for socket in sockets:
                await socket.send(type="heartbeat")
            await asyncio.sleep(0.5)

    return asyncio.create_task(run())


@pytest.mark.parametrize("service", ["identity", "tenancy", "presence", "metering"])
async def test_killing_a_service_interrupts_only_what_it_owns(own_stack, org, service):
    over_nats, over_websocket, sockets, beating = await flows(org)
    board = await org.connect_dashboard()
    agents = (await org.call("GET", "/clients", 200))["clients"]
    await asyncio.sleep(0.4)
    pid = own_stack.supervisor.kill(service)
    await asyncio.sleep(0.1)
    report = await org.http.get("/health")
    assert report.status_code == 200
    if report.json()["services"][service]["status"] == "unavailable":
        assert report.json()["status"] == "degraded"
    await healthy(org)
    assert own_stack.supervisor.pid(service) != pid
    await asyncio.sleep(0.5)
    await over_nats.complete()
    await over_websocket.complete()
    # What it owns is back: new clients, new connections, figures, status.
    newcomer = await org.create_client()
    assert await (await newcomer.connect_websocket()).send_and_receive("ping", "pong")
    await (await newcomer.connect_nats()).flush()
    assert (await org.call("GET", "/usage/current", 200))["messages"]["used"] >= 0
    # And nobody was seen to come or go but the newcomer.
    flapped = [f for f in board.pending("presence") if f["client_id"] in {a["client_id"] for a in agents}]
    assert [f for f in flapped if f["status"] == "offline"] == []
    for socket in sockets:
        assert socket.closed is None
    beating.cancel()


async def test_killing_the_gateway_leaves_direct_nats_alone(own_stack, org):
    over_nats, over_websocket, sockets, beating = await flows(org)
    board_client = await org.create_client()
    await asyncio.sleep(0.4)
    own_stack.supervisor.kill("gateway")
    for socket in sockets:
        await socket.wait_closed()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    over_websocket._task.cancel()
    await asyncio.gather(over_websocket._task, return_exceptions=True)
    await healthy(org)
    await over_nats.complete()
    # Its sockets are known to be gone, though nobody said goodbye.
    ids = [socket.welcome["client_id"] for socket in sockets]

    async def all_offline():
        states = [(await org.call("GET", f"/clients/{i}/status", 200))["status"] for i in ids]
        return states == ["offline"] * 2

    await eventually(all_offline, within=20)
    assert await (await board_client.connect_websocket()).send_and_receive("ping", "pong")


async def test_killing_the_broker_ends_in_everything_being_back(own_stack, org):
    agent, other = await org.create_client(), await org.create_client()
    socket, listener = await agent.connect_websocket(), await other.connect_websocket()
    await listener.subscribe(subject="after")
    beating = beat([socket, listener])
    nc = await agent.connect_nats(allow_reconnect=True, reconnect_time_wait=0.2, max_reconnect_attempts=-1)
    await own_stack.supervisor.stop("nats", how=signal.SIGKILL)

    async def down():
        return (await org.http.get("/health")).status_code == 503

    await eventually(down, within=5, every=0.02)
    # Nothing is taken that cannot be passed on.
    await socket.send(type="publish", subject="after", data=0, id="lost")
    assert (await socket.receive("error", id="lost"))["code"] == "broker_unavailable"
    assert (await org.http.get("/clients")).status_code == 503
    own_stack.start("nats")
    await healthy(org)

    async def through():
        await socket.send(type="publish", subject="after", data=1, id="p")
        while not socket.pending("published") and not socket.pending("error"):
            await asyncio.sleep(0.01)
        done = bool(socket.pending("published"))
        socket._pending.clear()
        return done

    # Every message vanished after a reconnect once, while all looked well.
    await eventually(through, within=15)
    for number in range(50):
        await socket.send_and_receive("publish", "published", subject="after", data=number + 100, id=number)

    def heard():
        return sorted(f["data"] for f in listener.pending("message") if f["data"] >= 100)

    await eventually(lambda: len(heard()) >= 50)
    assert heard() == list(range(100, 150))
    beating.cancel()
    await eventually(lambda: nc.is_connected, within=15)
    await nc.flush()


async def test_redis_away_is_told_and_does_no_harm_to_messages(own_stack, org):
    over_nats, over_websocket, _sockets, beating = await flows(org)
    await own_stack.supervisor.stop("redis")

    async def told():
        report = (await org.http.get("/health")).json()
        states = {name: service["status"] for name, service in report["services"].items()}
        return states["presence"] == states["metering"] == "degraded" and report["status"] == "degraded"

    await eventually(told)
    answer = await org.http.get("/usage/current")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert (await org.http.get("/clients")).status_code == 200
    own_stack.start("redis")
    await healthy(org)
    await over_nats.complete()
    await over_websocket.complete()
    beating.cancel()


async def test_health_tells_of_each_service_that_is_down(own_stack, org):
    for service in ("identity", "tenancy", "presence", "metering"):
        await own_stack.supervisor.stop(service)
        answer = await org.http.get("/health")
        report = answer.json()
        states = {name: each["status"] for name, each in report["services"].items()}
        assert states == {name: "unavailable" if name == service else "ok" for name in states}
        assert report["status"] == "degraded"
        assert answer.status_code == 200
        own_stack.start(service)
        await healthy(org)
    assert (await org.http.get("/health/live")).status_code == 200
    assert (await org.http.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("last", ["nats", "redis", "moto"])
async def test_services_wait_for_whatever_comes_last(new_stack, last):
    order = list(SERVICES)
    random.Random(last).shuffle(order)
    async with new_stack(servers=()) as stack:
        for name in SERVERS:
            if name != last:
                stack.start(name)
        if last == "moto":
            # The pool's names are settings of identity, so they are made, and then taken away again.
            stack.start("moto")
            await stack.provision()
            await stack.supervisor.stop("moto")
        else:
            await stack.provision()
        for name in order:
            stack.start(name)
        await asyncio.sleep(2)
        pids = {name: stack.supervisor.pid(name) for name in SERVICES}
        assert all(pids.values())
        stack.start(last)
        if last == "moto":
            await stack.provision()
            await stack.supervisor.stop("identity")
            stack.start("identity")
        await stack.wait_ready()
        # None had to be started again.
        for name in SERVICES:
            if not (last == "moto" and name == "identity"):
                assert stack.supervisor.pid(name) == pids[name], name
        await stack.seed()


async def test_a_leaving_gateway_sends_its_sockets_away_and_forgets_nothing(own_stack, org):
    agent = await org.create_client()
    socket, board = await agent.connect_websocket(), await org.connect_dashboard()
    for number in range(300):
        await socket.send(type="publish", subject="x", data=number)
    await socket.send_and_receive("publish", "published", subject="x", data="last", id=1)
    began = time.monotonic()
    await own_stack.supervisor.stop("gateway")
    took = time.monotonic() - began
    print(f"\nthe gateway left after {took:.2f} s")
    assert took < 10
    assert await socket.wait_closed() == (1012, "restarting")
    assert await board.wait_closed() == (1012, "restarting")
    own_stack.start("gateway")
    await healthy(org)
    stats = await org.call("GET", "/usage/local/stats", 200)
    assert stats["today"]["messages"] == 301
    assert (await org.call("GET", f"/clients/{agent.id}/status", 200))["status"] == "offline"


async def test_the_gateway_says_that_the_broker_is_missing(new_stack):
    async with new_stack(servers=()) as stack:
        stack.start("moto")
        await stack.provision()
        stack.start("gateway")
        async with httpx.AsyncClient(base_url=stack.api) as http:

            async def told():
                try:
                    return (await http.get("/api/v1/health")).status_code == 503
                except httpx.HTTPError:
                    return False

            await eventually(told)
            assert (await http.get("/api/v1/health/ready")).status_code == 503
            assert (await http.get("/api/v1/health/live")).status_code == 200
            refused = await http.post("/api/v1/auth/login", json={"email": "a", "password": "b"})
            assert (refused.status_code, refused.json()["code"]) == (503, "service_unavailable")
