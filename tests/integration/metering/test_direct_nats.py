"""metering against a real broker, Redis and DynamoDB stand-in; the gateway and identity are played."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import date, timedelta

import msgspec
import nats
import pytest
from nats.aio.client import RawCredentials
from redis.asyncio import Redis

from artcafe_common.broker import claims
from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import EndpointServer, handles
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.identity.accounts import AccountMissing, BrokerAccount, FindAccount
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS, ingest_subject
from artcafe_common.contracts.metering import (
    BridgeReport,
    GetCurrentUsage,
    GetLiveUsage,
    GetUsageMetrics,
    InvalidPeriod,
    UsageEntry,
    UsageRecorded,
)
from artcafe_common.dev.stack import REGION, Stack
from artcafe_common.installation.platform_keys import load_platform_keys
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_metering.app import app
from artcafe_metering.settings import Settings
from artcafe_metering.store import UsageArchive
from artcafe_metering.tables import TABLES, USAGE_METRICS, DayItem
from support.stack import free_ports

FAST_S = 0.1


class Organization:
    """A tenant's account in the broker: the platform's signing key in it, and one of its own."""

    def __init__(self):
        self.tenant_id = new_id()
        self.account = create(KeyKind.ACCOUNT)
        self.platform_key = create(KeyKind.ACCOUNT)
        self.own_key = create(KeyKind.ACCOUNT)


class World:
    """The servers, and everyone that metering deals with."""

    def __init__(self, stack):
        self.stack = stack
        self.keys = stack.directory / "keys"
        self.url = f"nats://127.0.0.1:{stack.ports.nats}"
        self.redis_url = f"redis://127.0.0.1:{stack.ports.redis}/0"
        self.organizations = {}
        self.clients = {}
        self.identity_answers = True

    @handles(FindAccount)
    async def find_account(self, request: FindAccount) -> BrokerAccount:
        found = self.organizations.get(request.account)
        if found is None:
            raise AccountMissing
        return BrokerAccount(
            account=request.account, tenant_id=found.tenant_id, platform_key=found.platform_key.public
        )

    async def open(self):
        self.system = await connect(self.url, self.keys / "identity-system.creds", name="identity")
        self.callout = await connect(self.url, self.keys / "identity-callout.creds", name="identity")
        self.identity = await connect(self.url, self.keys / "identity.creds", name="identity")
        self.gateway = Bus(
            await connect(self.url, self.keys / "gateway.creds", name="gateway"), service="gateway"
        )
        self.metering = await connect(self.url, self.keys / "metering.creds", name="metering")
        await Bus(self.metering, service="metering").ensure_events_stream()
        self.redis = Redis.from_url(self.redis_url, decode_responses=True)
        self.server = EndpointServer(self.identity, "identity")
        await self.server.start()
        await self.server.serve(self)
        key = KeyPair((self.keys / "callout.nk").read_text().strip())

        async def authorize(message):
            asked = claims.decode_authorization_request(message.data.decode()).nats
            organization, client_id = self.clients[asked.connect_opts.nkey]
            user = self._jwt(
                claims.UserClaims(issuer_account=organization.account.public),
                organization.platform_key,
                asked.user_nkey,
                client_id,
            )
            answer = claims.AuthorizationResponse(jwt=user)
            await message.respond(
                self._jwt(answer, key, asked.user_nkey, "callout", asked.server_id.id).encode()
            )

        await self.callout.subscribe("$SYS.REQ.USER.AUTH", cb=authorize)
        await self.callout.flush()

    async def close(self):
        await self.redis.aclose()
        for nc in (self.gateway.nc, self.identity, self.callout, self.system, self.metering):
            await nc.close()

    @staticmethod
    def _jwt(what, issuer, subject, name, audience=""):
        issued = int(time.time())
        return claims.encode(
            what, issuer=issuer, subject=subject, name=name, issued_at=issued, audience=audience
        )

    async def organization(self):
        made = Organization()
        account, tenant_id = made.account.public, made.tenant_id
        imports = [
            claims.Import(
                name=kind.value,
                subject=ingest_subject(account, kind, tenant_id),
                account=load_platform_keys(self.keys).platform_account,
                type="service",
                local_subject=local.format(tenant_id=tenant_id),
                share=True,
            )
            for kind, local in LOCAL_SUBJECTS.items()
        ]
        body = claims.AccountClaims(
            limits=claims.AccountLimits(),
            signing_keys=[made.platform_key.public, made.own_key.public],
            imports=imports,
        )
        operator = KeyPair((self.keys / "operator.nk").read_text().strip())
        token = self._jwt(body, operator, account, tenant_id)
        answer = await self.system.request("$SYS.REQ.CLAIMS.UPDATE", token.encode(), timeout=3)
        assert b'"code":200' in answer.data
        self.organizations[account] = made
        return made

    async def client(self, organization, client_id=""):
        """A client that shows its NKey alone."""
        pair = create(KeyKind.USER)
        client_id = client_id or new_id()
        self.clients[pair.public] = (organization, client_id)
        return client_id, await nats.connect(self.url, nkeys_seed_str=pair.seed)

    async def user(self, organization, issuer):
        """A user whose JWT was issued by one of the account's signing keys."""
        pair = create(KeyKind.USER)
        body = claims.UserClaims(issuer_account=organization.account.public)
        token = self._jwt(body, issuer, pair.public, "someone")
        credentials = claims.Credentials(jwt=token, seed=pair.seed).render()
        return await nats.connect(self.url, user_credentials=RawCredentials(credentials))

    async def ask(self, organization, command):
        caller = CallerContext(request_id="test", tenant_id=organization.tenant_id, actor="user:test")
        return await self.gateway.call(command, caller=caller)

    async def today(self, organization):
        stats = await self.ask(organization, GetLiveUsage())
        return stats.today

    async def settings(self, **changes):
        return Settings(
            nats_url=self.url,
            keys_dir=self.keys,
            server_id="test",
            aws_region=REGION,
            redis_url=self.redis_url,
            **{
                "poll_interval_s": FAST_S,
                "closed_interval_s": 0.5,
                "settle_after_s": 0.3,
                "rollup_interval_s": 0.3,
                **changes,
            },
        )

    @asynccontextmanager
    async def running(self, **changes):
        async with app(await self.settings(**changes)):
            yield


@pytest.fixture(scope="module")
async def world(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("metering"), free_ports())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environ().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        try:
            stack.prepare()
            for name in ("nats", "redis", "moto"):
                stack.start(name)
            await stack.wait_for_servers()
            async with Database(region=REGION, prefix="artcafe-") as database:
                for table in TABLES:
                    await database.create_table(table)
            made = World(stack)
            await made.open()
            yield made
            await made.close()
        finally:
            await stack.down()


@pytest.fixture
async def metering(world):
    async with world.running():
        yield


async def until(check, *, within=8.0):
    """Wait until `check` holds; its last failure otherwise."""
    ends_at = time.monotonic() + within
    while True:
        try:
            return await check()
        except AssertionError:
            if time.monotonic() > ends_at:
                raise
        await asyncio.sleep(0.05)


async def stays(check, *, for_s=0.6):
    """Check that `check` comes to hold, and goes on to hold while metering counts on.

    A connection's end and its last heartbeat are heard of one after the other, so that the
    figures may differ by that one for a moment.
    """

    async def held():
        ends_at = time.monotonic() + for_s
        while time.monotonic() < ends_at:
            await check()
            await asyncio.sleep(0.05)

    await until(held)


def counts(world, organization, **expected):
    async def check():
        today = await world.today(organization)
        found = {name: getattr(today, name) for name in expected}
        assert found == expected

    return check


def counts_when_up(world, organization, **expected):
    async def check():
        try:
            await counts(world, organization, **expected)()
        except CommandError as error:
            raise AssertionError from error

    return check


async def talk(nc, messages, *, size=10, subject="t.x"):
    for _ in range(messages):
        await nc.publish(subject, b"x" * size)
    await nc.flush()


async def beat(nc, organization, client_id, times):
    for _ in range(times):
        await nc.publish(f"_heartbeat.{organization.tenant_id}.{client_id}", b'{"ts":1}')
    await nc.flush()


# -- gateways ----------------------------------------------------------------------------------


async def test_a_batch_counts_once_however_often_it_comes(world, metering):
    org, other = await world.organization(), await world.organization()
    client, channel = new_id(), new_id()
    batch = UsageRecorded(
        server_id="gw",
        entries=[
            UsageEntry(
                tenant_id=org.tenant_id,
                client_id=client,
                channel_id=channel,
                messages=5,
                deliveries=7,
                bytes_in=50,
                bytes_out=70,
                connection_seconds=120,
            ),
            UsageEntry(tenant_id=org.tenant_id, api_calls=3),
            UsageEntry(tenant_id=other.tenant_id, messages=1),
        ],
    )
    for _ in range(3):
        # Past the stream's own window of duplicates, as a redelivery is.
        await world.gateway._js.publish(UsageRecorded.subject, msgspec.json.encode(batch))
    expected = counts(
        world,
        org,
        messages=5,
        deliveries=7,
        bytes_in=50,
        bytes_out=70,
        api_calls=3,
        connection_minutes=2,
    )
    await stays(expected)
    stats = await world.ask(org, GetLiveUsage())
    assert [(c.client_id, c.messages) for c in stats.clients] == [(client, 5)]
    assert [(c.channel_id, c.deliveries) for c in stats.channels] == [(channel, 7)]
    assert len(stats.hours) == 24
    assert stats.hours[-1].messages + stats.hours[-2].messages == 5
    await counts(world, other, messages=1, deliveries=0)()

    usage = await world.ask(org, GetUsageMetrics(plan=Plan.FREE))
    assert [day.messages for day in usage.daily] == [0, 0, 0, 0, 0, 0, 5]
    assert (usage.daily[-1].active_clients, usage.daily[-1].active_channels) == (1, 1)
    assert usage.totals.api_calls == 3
    assert usage.limits == LIMITS[Plan.FREE]
    month = await world.ask(org, GetCurrentUsage(plan=Plan.FREE))
    assert (month.messages.used, month.messages.limit, month.api_calls) == (5, 10_000, 3)
    assert month.messages.projected >= 5
    for key, days in (("stats:d:*", 90), ("stats:h:*", 30), ("stats:m:*", 400), ("active:d:*", 90)):
        for found in await world.redis.keys(f"{key}{org.tenant_id}*"):
            assert 0 < await world.redis.ttl(found) <= days * 86400


async def test_a_batch_counts_on_the_day_it_tells_of(world, metering):
    org = await world.organization()
    yesterday = now() - timedelta(days=1)
    entry = UsageEntry(tenant_id=org.tenant_id, messages=4)
    await world.gateway.publish(UsageRecorded(server_id="gw", entries=[entry], occurred_at=yesterday))

    async def counted():
        usage = await world.ask(org, GetUsageMetrics(plan=Plan.PRO))
        assert [day.messages for day in usage.daily][-2:] == [4, 0]

    await until(counted)


async def test_unused_days_are_zeros_and_bad_periods_are_refused(world, metering):
    org = await world.organization()
    start = now().date() - timedelta(days=365)
    usage = await world.ask(org, GetUsageMetrics(plan=Plan.ENTERPRISE, start_date=start))
    assert len(usage.daily) == 366
    assert usage.totals.messages == 0
    assert usage.limits.messages_per_month is None
    month = await world.ask(org, GetCurrentUsage(plan=Plan.ENTERPRISE))
    assert (month.messages.used, month.messages.limit, month.messages.percent) == (0, None, None)
    with pytest.raises(InvalidPeriod):
        await world.ask(org, GetUsageMetrics(plan=Plan.FREE, start_date=start - timedelta(days=1)))
    with pytest.raises(InvalidPeriod):
        await world.ask(
            org, GetUsageMetrics(plan=Plan.FREE, start_date=now().date(), end_date=date(2020, 1, 1))
        )


async def test_more_clients_than_are_told_apart_are_counted_together(world, metering):
    org = await world.organization()
    day = now().strftime("%Y%m%d")
    await world.redis.sadd(f"active:d:{day}:{org.tenant_id}:clients", *(f"c{n}" for n in range(10_000)))
    entries = [UsageEntry(tenant_id=org.tenant_id, client_id=new_id(), messages=2) for _ in range(3)]
    await world.gateway.publish(UsageRecorded(server_id="gw", entries=entries))
    await until(counts(world, org, messages=6))
    stats = await world.ask(org, GetLiveUsage())
    assert {c.client_id: c.messages for c in stats.clients}["other"] == 6


# -- direct NATS -------------------------------------------------------------------------------


async def test_direct_messages_count_and_heartbeats_do_not(world, metering):
    org, bystander = await world.organization(), await world.organization()
    client_id, nc = await world.client(org)
    listener_id, listener = await world.client(org)
    heard = []

    async def hear(message):
        heard.append(message.data)

    await listener.subscribe("t.>", cb=hear)
    await listener.flush()
    for _ in range(10):
        await talk(nc, 100)
        await beat(nc, org, client_id, 5)
    await listener.flush()
    # What the broker itself delivered, before what was counted of it.
    assert len(heard) == 1000
    await stays(counts(world, org, messages=1000, deliveries=1000, bytes_in=10_000, bytes_out=10_000))
    stats = await world.ask(org, GetLiveUsage())
    by_client = {c.client_id: (c.messages, c.deliveries) for c in stats.clients}
    assert by_client[client_id] == (1000, 0)
    assert by_client.get(listener_id, (0, 1000)) == (0, 1000)
    await counts(world, bystander, messages=0, deliveries=0, bytes_in=0)()
    await nc.publish(f"_heartbeat.{org.tenant_id}.{client_id}", b"{}", headers={"Some": "header"})
    await nc.close()
    await listener.close()
    await stays(counts(world, org, messages=1000, bytes_in=10_000, deliveries=1000))


async def test_restarts_of_metering_lose_and_double_nothing(world):
    org = await world.organization()
    client_id, nc = await world.client(org)
    _, gone = await world.client(org)
    async with world.running():
        await talk(nc, 100)
        await talk(gone, 30)
        await beat(nc, org, client_id, 3)
        await until(counts(world, org, messages=130))
    await talk(nc, 50)
    await talk(gone, 20)
    await beat(nc, org, client_id, 4)
    await gone.close()
    async with world.running():
        await stays(counts(world, org, messages=200, bytes_in=2000))
        await nc.close()
        await stays(counts(world, org, messages=200))
    async with world.running():
        await stays(counts(world, org, messages=200))


async def test_two_instances_count_nothing_twice(world):
    org = await world.organization()
    client_id, nc = await world.client(org)
    async with world.running(), world.running():
        for _ in range(10):
            await talk(nc, 50)
            await beat(nc, org, client_id, 2)
            entry = UsageEntry(tenant_id=org.tenant_id, messages=1)
            await world.gateway.publish(UsageRecorded(server_id="gw", entries=[entry]))
            await asyncio.sleep(0.05)
        await stays(counts(world, org, messages=510, bytes_in=5000))
        await nc.close()
        await stays(counts(world, org, messages=510))


async def test_a_user_that_the_tenant_issued_itself_is_counted_for_it(world, metering):
    org = await world.organization()
    nc = await world.user(org, org.own_key)
    await talk(nc, 12)
    await until(counts(world, org, messages=12))
    assert (await world.ask(org, GetLiveUsage())).clients == []
    await nc.close()
    await stays(counts(world, org, messages=12))


async def test_whose_a_connection_is_is_never_guessed(world, metering):
    org = await world.organization()
    del world.organizations[org.account.public]
    nc = await world.user(org, org.own_key)
    await talk(nc, 9)
    await stays(counts(world, org, messages=0), for_s=0.4)
    world.organizations[org.account.public] = org
    await until(counts(world, org, messages=9))
    await nc.close()


async def test_a_metering_that_is_killed_again_and_again_counts_everything_once(world):
    org = await world.organization()
    client_id, nc = await world.client(org)
    world.stack.settings |= {"ARTCAFE_POLL_INTERVAL_S": "0.05", "ARTCAFE_CLOSED_INTERVAL_S": "0.5"}
    world.stack.start("metering")
    try:
        for _ in range(2):
            await until(counts_when_up(world, org))
            for _ in range(5):
                await talk(nc, 40)
                await beat(nc, org, client_id, 3)
                entry = UsageEntry(tenant_id=org.tenant_id, messages=10, bytes_in=100)
                await world.gateway.publish(UsageRecorded(server_id="gw", entries=[entry]))
                await asyncio.sleep(0.03)
            world.stack.supervisor.kill("metering")
        await nc.close()
        await until(counts_when_up(world, org, messages=500, bytes_in=5000), within=15)
        await stays(counts(world, org, messages=500, bytes_in=5000))
    finally:
        await world.stack.supervisor.stop("metering")


# -- bridges -----------------------------------------------------------------------------------


def report(org, nc, total, **entry):
    return UsageRecorded(
        server_id="gw",
        entries=[UsageEntry(tenant_id=org.tenant_id, **entry)],
        bridges=[
            BridgeReport(
                tenant_id=org.tenant_id,
                server=nc._server_info["server_id"],
                cid=nc.client_id,
                messages=total,
                bytes_in=total * 10,
            )
        ],
    )


async def test_what_a_killed_gateway_published_unreported_is_counted(world, metering):
    org = await world.organization()
    bridge = await world.user(org, org.platform_key)
    await talk(bridge, 100)
    await stays(counts(world, org, messages=0))
    await world.gateway.publish(report(org, bridge, 60, messages=60, bytes_in=600))
    await stays(counts(world, org, messages=60))
    await bridge.close()
    await stays(counts(world, org, messages=100, bytes_in=1000, deliveries=0))

    # A report that was on its way all the time takes the place of what was supposed.
    await world.gateway.publish(report(org, bridge, 100, messages=40, bytes_in=400))
    await stays(counts(world, org, messages=100, bytes_in=1000))


async def test_a_bridge_that_reported_everything_adds_nothing(world, metering):
    org = await world.organization()
    bridge = await world.user(org, org.platform_key)
    await talk(bridge, 25)
    await world.gateway.publish(report(org, bridge, 25, messages=25, bytes_in=250))
    await bridge.close()
    await until(counts(world, org, messages=25))
    await stays(counts(world, org, messages=25, bytes_in=250), for_s=1.2)


async def test_a_bridge_without_any_report_that_ended_while_metering_was_away(world):
    org = await world.organization()
    bridge = await world.user(org, org.platform_key)
    await talk(bridge, 8)
    await bridge.close()
    async with world.running():
        await stays(counts(world, org, messages=8))
    async with world.running():
        await stays(counts(world, org, messages=8))


# -- stores ------------------------------------------------------------------------------------


async def test_daily_totals_are_archived_and_never_lowered(world, metering):
    org, other = await world.organization(), await world.organization()
    entries = [
        UsageEntry(tenant_id=org.tenant_id, client_id=new_id(), messages=11, connection_seconds=90),
        UsageEntry(tenant_id=other.tenant_id, messages=1),
    ]
    await world.gateway.publish(UsageRecorded(server_id="gw", entries=entries))
    today = now().date()
    async with Database(region=REGION, prefix="artcafe-") as database:
        archive, table = UsageArchive(database), TenantTable(database, USAGE_METRICS)

        async def archived():
            item = await table.get(org.tenant_id, f"{org.tenant_id}#{today}")
            assert item is not None
            assert (item.messages, item.connection_seconds, item.active_clients) == (11, 90, 1)

        await until(archived)
        old = today - timedelta(days=100)

        def day(**values):
            return DayItem(id=f"{org.tenant_id}#{old}", tenant_id=org.tenant_id, date=str(old), **values)

        await archive.raise_totals(day(messages=10, deliveries=3))
        await archive.raise_totals(day(messages=4, deliveries=2))
        await archive.raise_totals(day(messages=4, deliveries=5))
        usage = await world.ask(org, GetUsageMetrics(plan=Plan.PRO, start_date=old - timedelta(days=1)))
        assert [d.messages for d in usage.daily][:3] == [0, 10, 0]
        assert (usage.totals.messages, usage.totals.deliveries) == (21, 5)
        alien = await world.ask(other, GetUsageMetrics(plan=Plan.PRO, start_date=old, end_date=old))
        assert alien.totals.messages == 0


async def test_redis_may_go_away_in_the_middle(world, metering):
    org = await world.organization()
    client_id, nc = await world.client(org)
    await talk(nc, 40)
    await until(counts(world, org, messages=40))
    await asyncio.sleep(1.2)  # the append-only file is written every second
    world.stack.supervisor.kill("redis")
    await talk(nc, 60)
    await beat(nc, org, client_id, 5)
    entry = UsageEntry(tenant_id=org.tenant_id, messages=7)
    await world.gateway.publish(UsageRecorded(server_id="gw", entries=[entry]))
    await nc.close()
    await world.stack.wait_for_servers()

    await until(counts_when_up(world, org, messages=107), within=15)
    await stays(counts(world, org, messages=107, bytes_in=1000))


async def test_the_broker_may_go_away_in_the_middle(world, metering):
    org = await world.organization()
    client_id, nc = await world.client(org)
    await talk(nc, 10)
    await beat(nc, org, client_id, 2)
    await until(counts(world, org, messages=10))
    await nc.close()
    await stays(counts(world, org, messages=10))
    world.stack.supervisor.kill("nats")

    async def again():
        try:
            async with asyncio.timeout(3):
                _, back = await world.client(org, client_id)
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise AssertionError from error
        return back

    await asyncio.sleep(0.3)
    back = await until(again, within=10)
    await talk(back, 15)
    await beat(back, org, client_id, 3)

    await until(counts_when_up(world, org, messages=25), within=10)
    await stays(counts(world, org, messages=25, bytes_in=250))
    await back.close()
