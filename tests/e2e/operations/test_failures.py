"""Killed servers and services: only their own functions are interrupted, and the system recovers."""

import asyncio
import signal
import time

import pytest

from support.actors import User
from support.health import wait_until_healthy
from support.waiting import eventually


@pytest.fixture(scope="module")
async def failing_stack(new_stack):
    """A stack whose servers and services are killed; with short heartbeat intervals."""
    settings = {"ARTCAFE_HEARTBEAT_INTERVAL_S": "1", "ARTCAFE_HEARTBEAT_TIMEOUT_S": "3"}
    async with new_stack(settings) as stack:
        yield stack


@pytest.fixture
async def org(failing_stack):
    return await (await User.sign_up(failing_stack)).create_organization()


class MessageFlow:
    """Publishes numbered messages, about fifty per second, until it is stopped."""

    def __init__(self, publish, list_received):
        self._publish = publish
        self._list_received = list_received
        self.sent = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            await self._publish(self.sent)
            self.sent += 1
            await asyncio.sleep(0.02)

    async def wait_for_sent(self, count):
        await eventually(lambda: self.sent >= count)

    async def stop(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def assert_complete(self):
        """Stop; every sent message was received once and in order."""
        await self.wait_for_sent(21)
        await self.stop()
        # A message whose publish was cancelled may also have been received.
        await eventually(lambda: len(self._list_received()) >= self.sent)
        assert self._list_received()[: self.sent] == list(range(self.sent))


class Traffic:
    """One flow over NATS, and one over WebSocket with heartbeats."""

    def __init__(self, sockets, over_nats, over_websocket):
        self.sockets = sockets
        self.over_nats = over_nats
        self.over_websocket = over_websocket
        self.heartbeats = send_heartbeats(sockets)

    @classmethod
    async def start(cls, org):
        publisher, subscriber = [await (await org.create_client()).connect_nats() for _ in range(2)]
        received = []

        async def record(message):
            received.append(int(message.data))

        await subscriber.subscribe(f"{org.id}.direct", cb=record)
        await subscriber.flush()
        sockets = [await (await org.create_client()).connect_websocket() for _ in range(2)]
        await sockets[1].subscribe(subject="sockets")

        async def publish_nats(number):
            await publisher.publish(f"{org.id}.direct", str(number).encode())

        async def publish_websocket(number):
            await sockets[0].send(type="publish", subject="sockets", data=number)

        def list_frames():
            return [frame["data"] for frame in sockets[1].pending("message")]

        over_nats = MessageFlow(publish_nats, lambda: received)
        traffic = cls(sockets, over_nats, MessageFlow(publish_websocket, list_frames))
        await over_nats.wait_for_sent(10)
        return traffic

    async def assert_complete(self):
        await self.over_nats.assert_complete()
        await self.over_websocket.assert_complete()


def send_heartbeats(sockets):
    """Keep sockets alive until the returned task is cancelled."""

    async def run():
        while True:
            for socket in sockets:
                await socket.send(type="heartbeat")
            await asyncio.sleep(0.5)

    return asyncio.create_task(run())


async def read_health(org):
    """The status code, the overall status, and the status of each service."""
    response = await org.http.get("/health")
    report = response.json()
    services = {name: service["status"] for name, service in report["services"].items()}
    return response.status_code, report["status"], services


@pytest.mark.parametrize("service", ["identity", "tenancy", "presence", "metering"])
async def test_killed_service_does_not_interrupt_messages(failing_stack, org, service):
    traffic = await Traffic.start(org)
    dashboard = await org.connect_dashboard()
    clients = {client["client_id"] for client in (await org.call("GET", "/clients", 200))["clients"]}
    pid = failing_stack.supervisor.kill(service)
    # A moment for the gateway to notice; the service may also be back already.
    await asyncio.sleep(0.1)
    report = await org.http.get("/health")
    assert report.status_code == 200
    if report.json()["services"][service]["status"] == "unavailable":
        assert report.json()["status"] == "degraded"
    await wait_until_healthy(org)
    assert failing_stack.supervisor.pid(service) != pid
    await traffic.assert_complete()
    # New clients, new connections and usage work again.
    newcomer = await org.create_client()
    assert await (await newcomer.connect_websocket()).send_and_receive("ping", "pong")
    await (await newcomer.connect_nats()).flush()
    assert (await org.call("GET", "/usage/current", 200))["messages"]["used"] >= 0
    # No connected client was reported as offline.
    flapped = [frame for frame in dashboard.pending("presence") if frame["client_id"] in clients]
    assert [frame for frame in flapped if frame["status"] == "offline"] == []
    for socket in traffic.sockets:
        assert socket.closed is None
    traffic.heartbeats.cancel()


async def test_killed_gateway_does_not_interrupt_direct_nats(failing_stack, org):
    traffic = await Traffic.start(org)
    client = await org.create_client()
    failing_stack.supervisor.kill("gateway")
    for socket in traffic.sockets:
        await socket.wait_closed()
    traffic.heartbeats.cancel()
    await asyncio.gather(traffic.heartbeats, return_exceptions=True)
    await traffic.over_websocket.stop()
    await wait_until_healthy(org)
    await traffic.over_nats.assert_complete()
    # The clients are offline, although their sockets were not closed cleanly.
    ids = [socket.welcome["client_id"] for socket in traffic.sockets]

    async def all_offline():
        states = [(await org.call("GET", f"/clients/{i}/status", 200))["status"] for i in ids]
        return states == ["offline"] * 2

    await eventually(all_offline, within=20)
    assert await (await client.connect_websocket()).send_and_receive("ping", "pong")


async def test_messages_flow_again_after_the_broker_was_killed(failing_stack, org):
    client, other = await org.create_client(), await org.create_client()
    socket, subscriber = await client.connect_websocket(), await other.connect_websocket()
    await subscriber.subscribe(subject="after")
    heartbeats = send_heartbeats([socket, subscriber])
    nc = await client.connect_nats(allow_reconnect=True, reconnect_time_wait=0.2, max_reconnect_attempts=-1)
    await failing_stack.supervisor.stop("nats", how=signal.SIGKILL)

    async def is_unavailable():
        return (await org.http.get("/health")).status_code == 503

    await eventually(is_unavailable, within=5, every=0.02)
    # Without the broker, publishes are rejected.
    await socket.send(type="publish", subject="after", data=0, id="lost")
    assert (await socket.receive("error", id="lost"))["code"] == "broker_unavailable"
    assert (await org.http.get("/clients")).status_code == 503
    failing_stack.start("nats")
    await wait_until_healthy(org)

    async def publish():
        await socket.send(type="publish", subject="after", data=1, id="p")
        reply = await socket.receive_any({"published", "error"}, id="p")
        return reply["type"] == "published"

    # The subscriber must receive messages, not only the health report be good.
    await eventually(publish, within=15)
    for number in range(50):
        await socket.send_and_receive("publish", "published", subject="after", data=number + 100, id=number)

    def list_received():
        return sorted(f["data"] for f in subscriber.pending("message") if f["data"] >= 100)

    await eventually(lambda: len(list_received()) >= 50)
    assert list_received() == list(range(100, 150))
    heartbeats.cancel()
    await eventually(lambda: nc.is_connected, within=15)
    await nc.flush()


async def test_stopped_redis_is_reported_and_does_not_interrupt_messages(failing_stack, org):
    traffic = await Traffic.start(org)
    await failing_stack.supervisor.stop("redis")

    async def is_degraded():
        _, status, services = await read_health(org)
        return status == services["presence"] == services["metering"] == "degraded"

    await eventually(is_degraded)
    response = await org.http.get("/usage/current")
    assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
    assert (await org.http.get("/clients")).status_code == 200
    findings = {each["check"]: each["status"] for each in (await org.call("GET", "/status", 200))["findings"]}
    assert findings.items() >= {"redis": "fail", "presence": "warn", "metering": "warn"}.items()
    failing_stack.start("redis")
    await wait_until_healthy(org)
    await traffic.assert_complete()
    traffic.heartbeats.cancel()


async def test_health_reports_each_stopped_service(failing_stack, org):
    for service in ("identity", "tenancy", "presence", "metering"):
        await failing_stack.supervisor.stop(service)

        async def is_reported(service=service):
            status_code, status, services = await read_health(org)
            expected = {name: "unavailable" if name == service else "ok" for name in services}
            return services == expected and (status_code, status) == (200, "degraded")

        # An answer is a second old at most.
        await eventually(is_reported)
        failing_stack.start(service)
        await wait_until_healthy(org)
    assert (await org.http.get("/health/live")).status_code == 200
    assert (await org.http.get("/health/ready")).status_code == 200


async def test_stopping_gateway_closes_sockets_and_loses_no_counts(failing_stack, org):
    client = await org.create_client()
    socket, dashboard = await client.connect_websocket(), await org.connect_dashboard()
    for number in range(300):
        await socket.send(type="publish", subject="x", data=number)
    await socket.send_and_receive("publish", "published", subject="x", data="last", id=1)
    # A request that is answered while the gateway stops.
    responder = await client.connect_nats()

    async def respond(message):
        await asyncio.sleep(0.5)
        await message.respond(b'"late"')

    await responder.subscribe(f"{org.id}.slow", cb=respond)
    await responder.flush()
    await socket.send(type="request", subject="slow", data=1, id="slow")
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await failing_stack.supervisor.stop("gateway")
    elapsed = time.monotonic() - began
    print(f"\nthe gateway stopped after {elapsed:.2f} s")
    assert elapsed < 10
    assert (await socket.receive("reply"))["data"] == "late"
    for each in (socket, dashboard):
        assert 0 < (await each.receive("reconnect"))["retry_after_ms"] <= 1100
        assert await each.wait_closed() == (1012, "restarting")
    await responder.close()
    failing_stack.start("gateway")
    await wait_until_healthy(org)
    stats = await org.call("GET", "/usage/local/stats", 200)
    # The request and its reply included.
    assert stats["today"]["messages"] == 303
    assert (await org.call("GET", f"/clients/{client.id}/status", 200))["status"] == "offline"
