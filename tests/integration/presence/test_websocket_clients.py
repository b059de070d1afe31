"""The presence service against real servers: WebSockets as gateways report them, and direct NATS."""

import asyncio
import json
import os
import time
from base64 import b64encode
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import nats
import pytest
from redis.asyncio import Redis

from artcafe_common.broker.claims import (
    AccountClaims,
    AccountLimits,
    AuthorizationResponse,
    Import,
    UserClaims,
    decode_authorization_request,
    encode,
)
from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.clock import new_id
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS, ingest_subject
from artcafe_common.contracts.presence import (
    ClientHealth,
    ConnectionClosed,
    ConnectionOpened,
    CountConnections,
    GatewayAlive,
    GetPresences,
    Heartbeat,
    HeartbeatsReceived,
    PresenceChanged,
    Transport,
)
from artcafe_common.dev.stack import REGION, Stack
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.storage.dynamo import Database
from artcafe_presence.app import app
from artcafe_presence.settings import Settings
from artcafe_presence.tables import CONNECTIONS
from support.stack import free_ports

TIMEOUT_S = 2.0
SERVER = "gateway-1"
ON, OFF = True, False


class Tenant:
    def __init__(self):
        self.id = new_id()
        self.account = create(KeyKind.ACCOUNT)
        self.signing = create(KeyKind.ACCOUNT)

    def jwt(self, operator, platform_account):
        imports = [
            Import(
                name=kind.value,
                subject=ingest_subject(self.account.public, kind, self.id),
                account=platform_account,
                type="service",
                local_subject=local.format(tenant_id=self.id),
                share=True,
            )
            for kind, local in LOCAL_SUBJECTS.items()
        ]
        imports.append(
            Import(
                name="notices",
                subject=f"artcafe.tenant.{self.account.public}.presence.*",
                account=platform_account,
                type="stream",
                local_subject=f"tenant.{self.id}.presence.*",
            )
        )
        claims = AccountClaims(limits=AccountLimits(), signing_keys=[self.signing.public], imports=imports)
        return encode(
            claims, issuer=operator, subject=self.account.public, name=self.id, issued_at=int(time.time())
        )


class World:
    """Real servers, the service in this process, and the parts of gateway and identity that it needs."""

    def __init__(self, stack):
        self.stack = stack
        self.keys = stack.directory / "keys"
        self.url = f"nats://127.0.0.1:{stack.ports.nats}"
        self.changes = []
        self.known = {}
        self.running = None
        self.instance = uuid4().hex

    def settings(self, **changed):
        return Settings(
            **{
                "nats_url": self.url,
                "keys_dir": self.keys,
                "server_id": "presence-test",
                "aws_region": REGION,
                "redis_url": f"redis://127.0.0.1:{self.stack.ports.redis}/0",
                "heartbeat_interval_s": 0.5,
                "heartbeat_timeout_s": TIMEOUT_S,
                "gateway_grace_s": 1.5,
                "reconnect_grace_s": 1.5,
                "deadline_check_s": 0.2,
                "sweep_interval_s": 1,
                **changed,
            }
        )

    async def start(self):
        self.running = AsyncExitStack()
        await self.running.enter_async_context(app(self.settings()))

    async def stop(self):
        if self.running is not None:
            await self.running.aclose()
            self.running = None

    # -- the parts of others -----------------------------------------------------------------

    async def join(self, stack):
        self.gateway = await connect(self.url, self.keys / "gateway.creds", name="gateway")
        stack.push_async_callback(self.gateway.close)
        self.bus = Bus(self.gateway, service="gateway")
        await self.bus.subscribe(PresenceChanged, self.changed)
        self.claims = await connect(self.url, self.keys / "identity-system.creds", name="identity")
        stack.push_async_callback(self.claims.close)
        callout = await connect(self.url, self.keys / "identity-callout.creds", name="identity")
        stack.push_async_callback(callout.close)
        await callout.subscribe("$SYS.REQ.USER.AUTH", cb=self.authorize)
        self.redis = Redis(port=self.stack.ports.redis, decode_responses=True)
        stack.push_async_callback(self.redis.aclose)
        self.database = await stack.enter_async_context(
            Database(region=REGION, prefix="artcafe-", environ=self.stack.environ())
        )
        await self.database.create_table(CONNECTIONS)
        self.rows = self.database.table(CONNECTIONS)

    async def changed(self, event):
        self.changes.append(event)

    async def authorize(self, message):
        request = decode_authorization_request(message.data.decode()).nats
        tenant, client_id = self.known[request.connect_opts.nkey]
        at = int(time.time())
        user = encode(
            UserClaims(issuer_account=tenant.account.public),
            issuer=tenant.signing,
            subject=request.user_nkey,
            name=client_id,
            issued_at=at,
        )
        answer = encode(
            AuthorizationResponse(jwt=user),
            issuer=KeyPair((self.keys / "callout.nk").read_text()),
            subject=request.user_nkey,
            name="callout",
            issued_at=at,
            audience=request.server_id.id,
        )
        await message.respond(answer.encode())

    async def tenant(self):
        made = Tenant()
        operator = KeyPair((self.keys / "operator.nk").read_text())
        token = made.jwt(operator, load_platform_keys(self.keys).platform_account)
        answer = await self.claims.request("$SYS.REQ.CLAIMS.UPDATE", token.encode(), timeout=3)
        assert json.loads(answer.data)["data"]["code"] == 200
        return made

    @asynccontextmanager
    async def client(self, tenant, client_id, **options):
        pair = create(KeyKind.USER)
        self.known[pair.public] = (tenant, client_id)
        nc = await nats.connect(self.url, nkeys_seed_str=pair.seed, **options)
        try:
            yield nc
        finally:
            await nc.close()

    # -- what a gateway says -----------------------------------------------------------------

    async def open(self, tenant_id, client_id, connection_id=None, *, instance=None, event_id=None):
        connection_id = connection_id or new_id()
        await self.bus.publish(
            ConnectionOpened(
                event_id=event_id or new_id(),
                connection_id=connection_id,
                tenant_id=tenant_id,
                client_id=client_id,
                account="A" + "X" * 55,
                server_id=SERVER,
                instance=instance or self.instance,
                ip="192.0.2.7",
            )
        )
        return connection_id

    async def close(self, tenant_id, client_id, connection_id):
        await self.bus.publish(
            ConnectionClosed(
                connection_id=connection_id,
                tenant_id=tenant_id,
                client_id=client_id,
                account="A" + "X" * 55,
                reason="client_left",
            )
        )

    async def beat(self, tenant_id, client_id, connection_id, **more):
        beat = Heartbeat(connection_id=connection_id, tenant_id=tenant_id, client_id=client_id, **more)
        await self.bus.notify(HeartbeatsReceived(server_id=SERVER, heartbeats=[beat]))

    async def alive(self, instance=None):
        signal = GatewayAlive(server_id=SERVER, instance=instance or self.instance, timeout_s=60)
        await self.bus.notify(signal)

    # -- what is seen ------------------------------------------------------------------------

    async def see(self, tenant_id, *client_ids):
        caller = CallerContext(request_id="test", tenant_id=tenant_id)
        answer = await self.bus.call(GetPresences(client_ids=list(client_ids)), caller=caller)
        return answer.clients if len(client_ids) > 1 else answer.clients[0]

    async def count(self, tenant_id):
        caller = CallerContext(request_id="test", tenant_id=tenant_id)
        return (await self.bus.call(CountConnections(), caller=caller)).connections

    async def until(self, client_id, *states, within_s=3.0):
        """The client's whole history of transitions, once it is as long as expected; then it must be equal."""
        ends = time.monotonic() + within_s
        while len(self.history(client_id)) < len(states) and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        assert self.history(client_id) == list(states)

    def history(self, client_id):
        return [event.online for event in self.changes if event.client_id == client_id]

    def last(self, client_id):
        return [event for event in self.changes if event.client_id == client_id][-1]


async def eventually(check, within_s=3.0):
    ends = time.monotonic() + within_s
    while True:
        result = await check()
        if result or time.monotonic() > ends:
            assert result
            return result
        await asyncio.sleep(0.03)


@pytest.fixture(scope="module")
async def world(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("presence"), free_ports())
    stack.prepare()
    environ = stack.environ()
    replaced = {name: os.environ.get(name) for name in environ if name.startswith("AWS_")}
    os.environ.update({name: environ[name] for name in replaced})
    try:
        for name in ("nats", "redis", "moto"):
            stack.start(name)
        await stack.wait_for_servers()
        async with AsyncExitStack() as others:
            made = World(stack)
            await made.join(others)
            await made.start()
            await made.alive()
            try:
                yield made
            finally:
                await made.stop()
    finally:
        await stack.down()
        for name, value in replaced.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture
async def service(world):
    """The service, running, whatever the test before left; its gateway lives."""
    if world.running is None:
        await world.start()
    await world.alive()
    return world


# -- WebSocket ---------------------------------------------------------------------------------


async def test_a_websocket_client_comes_and_goes(service):
    tenant, client = new_id(), new_id()
    assert (await service.see(tenant, client)).last_seen is None
    connection = await service.open(tenant, client)
    await service.until(client, ON)
    seen = await service.see(tenant, client)
    assert (seen.online, seen.health) == (True, ClientHealth.HEALTHY)
    assert [(c.connection_id, c.transport, c.server, c.ip) for c in seen.connections] == [
        (connection, Transport.WEBSOCKET, SERVER, "192.0.2.7")
    ]
    assert await service.count(tenant) == 1

    async def row():
        return await service.rows.get(connection)

    stored = await eventually(row)
    assert (stored.tenant_id, stored.client_id, stored.server) == (tenant, client, SERVER)
    assert stored.expires_at > time.time() + 23 * 3600

    await service.close(tenant, client, connection)
    await service.until(client, ON, OFF)
    assert service.last(client).reason == "client_left"
    seen = await service.see(tenant, client)
    assert (seen.online, seen.health, seen.connections) == (False, ClientHealth.UNKNOWN, [])
    assert seen.last_seen is not None
    assert await service.count(tenant) == 0

    async def gone():
        return await service.rows.get(connection) is None

    await eventually(gone)


async def test_a_client_is_online_while_any_connection_is(service):
    tenant, client = new_id(), new_id()
    first, second = await service.open(tenant, client), await service.open(tenant, client)

    async def both():
        return await service.count(tenant) == 2

    await eventually(both)
    await service.close(tenant, client, first)
    await asyncio.sleep(0.3)
    assert service.history(client) == [True]
    await service.close(tenant, client, second)
    await service.until(client, ON, OFF)


async def test_silence_makes_offline_and_a_heartbeat_back_online(service):
    tenant, client = new_id(), new_id()
    connection = await service.open(tenant, client)
    await service.until(client, ON)
    began = time.monotonic()
    while time.monotonic() - began < TIMEOUT_S + 0.5:
        await service.beat(tenant, client, connection, status="degraded", metrics={"load": 0.5})
        await asyncio.sleep(0.25)
    seen = await service.see(tenant, client)
    assert (seen.health, seen.metrics) == (ClientHealth.DEGRADED, {"load": 0.5})
    last_beat = time.monotonic()
    await service.until(client, ON, OFF, within_s=TIMEOUT_S + 3)
    assert TIMEOUT_S - 0.5 < time.monotonic() - last_beat < TIMEOUT_S + 2
    assert (await service.see(tenant, client)).health is ClientHealth.UNHEALTHY
    assert service.last(client).reason == "heartbeat_timeout"
    # The gateway was only out of reach, its socket still stands.
    await service.beat(tenant, client, connection)
    await service.until(client, ON, OFF, ON)
    await service.close(tenant, client, connection)
    await service.until(client, ON, OFF, ON, OFF)


async def test_news_out_of_order_and_twice(service):
    tenant, client, late = new_id(), new_id(), new_id()
    await service.close(tenant, client, late)
    await service.until(client)
    await asyncio.sleep(0.2)
    await service.open(tenant, client, late)
    connection = await service.open(tenant, client)
    await service.until(client, ON)
    await service.open(tenant, client, connection)
    await asyncio.sleep(0.3)
    assert [c.connection_id for c in (await service.see(tenant, client)).connections] == [connection]
    await service.close(tenant, client, connection)
    await service.close(tenant, client, connection)
    await service.open(tenant, client, connection)
    await service.until(client, ON, OFF)
    await asyncio.sleep(0.3)
    assert service.history(client) == [True, False]


async def test_who_stays_for_a_moment_only_has_been_there(service):
    """Opened and closed arrive together, are applied at once, and still one comes after the other."""
    tenant, clients = new_id(), [new_id() for _ in range(200)]

    async def visit(client):
        connection = await service.open(tenant, client)
        await service.close(tenant, client, connection)

    await asyncio.gather(*map(visit, clients))
    for client in clients:
        await service.until(client, ON, OFF, within_s=10)
        assert service.last(client).ip == "192.0.2.7"


async def test_a_tenant_sees_its_own_clients_only(service):
    mine, theirs, client, stranger = new_id(), new_id(), new_id(), new_id()
    connection = await service.open(mine, client)
    await service.until(client, ON)
    seen = await service.see(theirs, client, stranger)
    assert [(c.client_id, c.online, c.health, c.last_seen) for c in seen] == [
        (client, False, ClientHealth.UNKNOWN, None),
        (stranger, False, ClientHealth.UNKNOWN, None),
    ]
    assert (await service.see(theirs, client)).connections == []
    assert await service.count(theirs) == 0
    many = await service.see(mine, *[new_id() for _ in range(199)], client)
    assert [c.online for c in many] == [False] * 199 + [True]
    assert many[-1].connections == []
    # Nobody beats for another, even when a gateway errs.
    await service.beat(theirs, client, connection, metadata={"forged": True})
    await service.beat(mine, stranger, connection)
    await asyncio.sleep(0.2)
    assert (await service.see(mine, client)).metadata is None
    assert (await service.see(mine, stranger)).online is False
    await service.close(mine, client, connection)


async def test_the_connections_of_a_dead_gateway_process_end(service):
    tenant, doomed, spared = new_id(), new_id(), new_id()
    dying = uuid4().hex
    await service.alive(dying)
    await service.redis.zadd("presence:gateways", {dying: (time.time() + 0.5) * 1000})
    await service.open(tenant, doomed, instance=dying)
    other = await service.open(tenant, spared)
    await service.until(spared, ON)
    await service.until(doomed, ON, OFF)
    assert service.last(doomed).reason == "gateway_gone"
    assert service.history(spared) == [True]
    await service.close(tenant, spared, other)


async def test_heartbeats_are_cheap_and_write_nothing_to_the_table(service):
    tenant = new_id()
    clients = {new_id(): new_id() for _ in range(100)}
    for connection, client in clients.items():
        await service.open(tenant, client, connection)

    async def all_there():
        return await service.count(tenant) == len(clients)

    await eventually(all_there)

    async def written():
        return await service.redis.xlen("presence:outbox:rows") == 0

    await eventually(written, within_s=10)
    before = {row.connection_id: row for row in await service.rows.scan()}
    entries = (await service.redis.xinfo_stream("presence:outbox:rows"))["last-generated-id"]
    beats = [
        Heartbeat(connection_id=connection, tenant_id=tenant, client_id=client, status="healthy")
        for connection, client in clients.items()
    ]
    calls = (await service.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    for _ in range(10):
        await service.bus.notify(HeartbeatsReceived(server_id=SERVER, heartbeats=beats))
    newest = list(clients.values())[-1]

    async def arrived():
        return float(await service.redis.hget(f"presence:client:{newest}", "beat_at") or 0) > 0

    await eventually(arrived)
    await asyncio.sleep(0.3)
    assert (await service.redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - calls < 60
    after = {row.connection_id: row for row in await service.rows.scan()}
    assert {c: after[c] for c in clients} == {c: before[c] for c in clients}
    assert (await service.redis.xinfo_stream("presence:outbox:rows"))["last-generated-id"] == entries
    await asyncio.gather(*(service.close(tenant, client, c) for c, client in clients.items()))


# -- direct NATS -------------------------------------------------------------------------------


async def test_a_nats_client_that_never_beats_is_online_while_connected(service):
    tenant, client = await service.tenant(), new_id()
    async with service.client(tenant, client):
        await service.until(client, ON)
        await asyncio.sleep(TIMEOUT_S + 0.5)
        seen = await service.see(tenant.id, client)
        assert (seen.online, seen.health) == (True, ClientHealth.UNKNOWN)
        assert [(c.transport, c.server) for c in seen.connections] == [(Transport.NATS, "nats-1")]
        assert seen.connections[0].ip == "127.0.0.1"
    await service.until(client, ON, OFF, within_s=1)
    assert service.last(client).account == tenant.account.public


async def test_a_nats_client_that_beats_lapses_and_returns(service):
    tenant, client = await service.tenant(), new_id()
    heard = []

    async def hear(message):
        heard.append((message.subject, json.loads(message.data)["status"]))

    async with service.client(tenant, new_id()) as watcher, service.client(tenant, client) as nc:
        await watcher.subscribe(f"tenant.{tenant.id}.presence.{client}", cb=hear)
        await watcher.flush()
        await service.until(client, ON)
        await nc.publish(f"_heartbeat.{tenant.id}.{client}", b'{"ts": 1, "v": "1"}')

        async def healthy():
            return (await service.see(tenant.id, client)).health is ClientHealth.HEALTHY

        await eventually(healthy)
        await service.until(client, ON, OFF, within_s=TIMEOUT_S + 2)
        assert (await service.see(tenant.id, client)).connections == []
        # The comparison with the broker, which still has it, does not bring it back.
        await asyncio.sleep(1.2)
        assert service.history(client) == [True, False]
        full = {"status": "healthy", "metrics": {"cpu": 3}, "metadata": {"version": "2"}}
        await nc.publish(f"_HEARTBEAT.tenant.{tenant.id}.client.{client}", json.dumps(full).encode())
        await service.until(client, ON, OFF, ON)
        seen = await service.see(tenant.id, client)
        assert (seen.metrics, seen.metadata) == ({"cpu": 3}, {"version": "2"})
        await nc.publish(f"_METRICS.tenant.{tenant.id}.client.{client}", b'{"cpu": 4}')
        bye = {"type": "disconnect", "metadata": {"why": "deploy"}}
        await nc.publish(f"_PRESENCE.tenant.{tenant.id}.client.{client}", json.dumps(bye).encode())
        await service.until(client, ON, OFF, ON, OFF)
        seen = await service.see(tenant.id, client)
        assert (seen.metrics, seen.metadata) == ({"cpu": 4}, {"why": "deploy"})
        await nc.publish(f"_PRESENCE.tenant.{tenant.id}.client.{client}", b'{"type": "connect"}')
        await service.until(client, ON, OFF, ON, OFF, ON)
    await service.until(client, ON, OFF, ON, OFF, ON, OFF)
    subject = f"tenant.{tenant.id}.presence.{client}"
    assert (subject, "offline") in heard
    assert all(each[0] == subject for each in heard)


async def test_nobody_beats_for_a_sibling(service):
    tenant, honest, forger = await service.tenant(), new_id(), new_id()
    async with service.client(tenant, honest) as nc, service.client(tenant, forger) as other:
        await service.until(honest, ON)
        await nc.publish(f"_heartbeat.{tenant.id}.{honest}", b"{}")
        ends = time.monotonic() + TIMEOUT_S + 1.5
        while time.monotonic() < ends:
            await other.publish(f"_heartbeat.{tenant.id}.{honest}", b"{}")
            await other.publish(f"_METRICS.tenant.{tenant.id}.client.{honest}", b'{"forged": 1}')
            await asyncio.sleep(0.2)
        assert service.history(honest) == [True, False]
        assert (await service.see(tenant.id, honest)).metrics is None
        assert service.history(forger) == [True]


async def test_a_bridge_connection_is_no_client(service):
    tenant = await service.tenant()
    pair = create(KeyKind.USER)
    token = encode(
        UserClaims(issuer_account=tenant.account.public),
        issuer=tenant.signing,
        subject=pair.public,
        name="bridge",
        issued_at=int(time.time()),
    )
    bridge = await nats.connect(
        service.url,
        user_jwt_cb=token.encode,
        signature_cb=lambda nonce: b64encode(pair.sign(nonce.encode())),
    )
    try:
        await bridge.publish(f"_heartbeat.{tenant.id}.{pair.public}", b"{}")
        await asyncio.sleep(0.3)
        assert await service.count(tenant.id) == 0
    finally:
        await bridge.close()


# -- restarts ----------------------------------------------------------------------------------


async def test_a_restart_flaps_nothing_and_catches_up(service):
    tenant, silent, gone, came = await service.tenant(), new_id(), new_id(), new_id()
    web, left, late = new_id(), new_id(), new_id()
    web_connection = await service.open(tenant.id, web)
    left_connection = await service.open(tenant.id, left)
    async with AsyncExitStack() as clients:
        await clients.enter_async_context(service.client(tenant, silent))
        leaving = AsyncExitStack()
        await leaving.enter_async_context(service.client(tenant, gone))
        for each in (web, left, silent, gone):
            await service.until(each, ON)
        await service.stop()
        await leaving.aclose()
        await clients.enter_async_context(service.client(tenant, came))
        await service.close(tenant.id, left, left_connection)
        late_connection = await service.open(tenant.id, late)
        # Longer than the timeout: the heartbeats of this time were heard by nobody.
        await asyncio.sleep(TIMEOUT_S + 0.3)
        await service.start()
        await service.alive()
        for _ in range(6):
            await service.beat(tenant.id, web, web_connection)
            await service.beat(tenant.id, late, late_connection)
            await asyncio.sleep(0.25)
        await service.until(gone, ON, OFF)
        await service.until(left, ON, OFF)
        for each in (web, silent, came, late):
            assert service.history(each) == [True], each
    for client, connection in ((web, web_connection), (late, late_connection)):
        await service.close(tenant.id, client, connection)
    await service.until(web, ON, OFF)


async def test_what_was_not_announced_before_a_kill_is_announced_after_it(service):
    tenant, client = new_id(), new_id()
    await service.stop()
    transition = {
        "tenant_id": tenant,
        "client_id": client,
        "account": "A" + "X" * 55,
        "online": True,
        "last_seen": int(time.time() * 1000),
        "reason": "",
    }
    await service.redis.xadd("presence:outbox:transitions", {"data": json.dumps(transition)})
    await service.start()
    await service.until(client, ON)
    assert await service.redis.xlen("presence:outbox:transitions") == 0


async def test_two_instances_announce_once(service):
    tenant = new_id()
    clients = {new_id(): new_id() for _ in range(40)}
    async with app(service.settings(server_id="presence-second")):
        for connection, client in clients.items():
            await service.open(tenant, client, connection)
        for connection, client in clients.items():
            await service.close(tenant, client, connection)
        for client in clients.values():
            await service.until(client, ON, OFF)
        await asyncio.sleep(0.5)
        assert all(service.history(client) == [True, False] for client in clients.values())


async def test_a_redis_that_lost_everything_is_filled_from_the_table_and_the_broker(service):
    tenant, client, direct = await service.tenant(), new_id(), new_id()
    connection = await service.open(tenant.id, client)
    async with service.client(tenant, direct):
        await service.until(client, ON)
        await service.until(direct, ON)

        async def stored():
            return await service.rows.get(connection)

        await eventually(stored)
        await service.redis.flushall()

        async def back():
            await service.alive()
            await service.beat(tenant.id, client, connection)
            return all(seen.online for seen in await service.see(tenant.id, client, direct))

        await eventually(back, within_s=5)
        await service.close(tenant.id, client, connection)

    async def gone():
        return not any(seen.online for seen in await service.see(tenant.id, client, direct))

    await eventually(gone)


async def test_an_outage_of_redis_passes(service):
    tenant, client = new_id(), new_id()
    connection = await service.open(tenant, client)
    await service.until(client, ON)
    await service.stack.supervisor.stop("redis")
    await service.close(tenant, client, connection)
    await asyncio.sleep(0.7)
    service.stack.start("redis")
    await service.until(client, ON, OFF, within_s=8)
    assert (await service.see(tenant, client)).online is False


async def test_a_restart_of_the_broker_flaps_nobody_who_comes_back(service):
    tenant, client, other = await service.tenant(), new_id(), new_id()
    web = new_id()
    connection = await service.open(tenant.id, web)
    leaving = AsyncExitStack()
    async with service.client(tenant, client, reconnect_time_wait=0.5, max_reconnect_attempts=-1):
        await leaving.enter_async_context(service.client(tenant, other, allow_reconnect=False))
        for each in (client, other, web):
            await service.until(each, ON)
        before = (await service.see(tenant.id, client)).connections[0].connection_id
        await service.stack.supervisor.stop("nats")
        await asyncio.sleep(0.5)
        service.stack.start("nats")
        await service.until(other, ON, OFF, within_s=10)
        await service.beat(tenant.id, web, connection)

        async def moved():
            connections = (await service.see(tenant.id, client)).connections
            return [c.connection_id for c in connections] != [before] and len(connections) == 1

        await eventually(moved, within_s=5)
        assert service.history(client) == [ON]
        assert service.history(web) == [ON]
    await leaving.aclose()
    await service.close(tenant.id, web, connection)
    await service.until(web, ON, OFF)
