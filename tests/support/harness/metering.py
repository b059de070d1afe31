"""A metering service in the test's process, and the parts of gateway and identity that it needs."""

import time
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio import Redis

from artcafe_common.account_keys import AccountKeyCache
from artcafe_common.broker.connect import connect
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import EndpointServer, handles
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountMissing, BrokerAccount, FindAccount
from artcafe_common.contracts.metering import BridgeReport, GetLiveUsage, UsageEntry, UsageRecorded
from artcafe_common.dev.stack import REGION
from artcafe_common.lifecycle import run_background, run_periodically
from artcafe_metering.app import app
from artcafe_metering.settings import Settings
from artcafe_presence.ingest import IngestReceiver
from artcafe_presence.ingest_usage import IngestUsageReporter
from support.harness.broker_accounts import BrokerAccounts
from support.waiting import eventually, holds

POLL_INTERVAL_S = 0.1


class _NoReports:
    """Heartbeats do not matter to metering."""

    def receive(self, *_):
        pass


class MeteringHarness:
    """Runs the service, publishes usage as a gateway does, and reads the counters."""

    def __init__(self, stack):
        self.stack = stack
        self.keys = stack.directory / "keys"
        self.url = f"nats://127.0.0.1:{stack.ports.nats}"
        self.redis_url = f"redis://127.0.0.1:{stack.ports.redis}/0"
        self.accounts = BrokerAccounts(self.url, self.keys)
        self.known_accounts = {}

    @handles(FindAccount)
    async def find_account(self, request: FindAccount) -> BrokerAccount:
        account = self.known_accounts.get(request.account)
        if account is None:
            raise AccountMissing
        return BrokerAccount(
            account=request.account, tenant_id=account.tenant_id, platform_key=account.platform_key.public
        )

    async def open(self):
        await self.accounts.open()
        self.identity = await connect(self.url, self.keys / "identity.creds", name="identity")
        self.gateway = Bus(
            await connect(self.url, self.keys / "gateway.creds", name="gateway"), service="gateway"
        )
        self.metering = await connect(self.url, self.keys / "metering.creds", name="metering")
        await Bus(self.metering, service="metering").ensure_events_stream()
        await self._count_ingest_as_presence_does()
        self.redis = Redis.from_url(self.redis_url, decode_responses=True)
        self.server = EndpointServer(self.identity, "identity")
        await self.server.start()
        await self.server.serve(self)

    async def _count_ingest_as_presence_does(self):
        self.presence = await connect(self.url, self.keys / "presence.creds", name="presence")
        reporter = IngestUsageReporter(Bus(self.presence, service="presence"))

        keys = AccountKeyCache(Bus(self.presence, service="presence"), service="presence")
        ingest = IngestReceiver(keys=keys, usage=reporter, reports=_NoReports())
        await ingest.subscribe(self.presence)
        self.background = AsyncExitStack()
        await self.background.enter_async_context(
            run_background(
                run_periodically(POLL_INTERVAL_S / 2, ingest.resolve, name="resolve_senders"),
                run_periodically(POLL_INTERVAL_S / 2, reporter.flush, name="ingest_usage"),
            )
        )

    async def close(self):
        await self.background.aclose()
        await self.presence.close()
        await self.redis.aclose()
        await self.accounts.close()
        for nc in (self.gateway.nc, self.identity, self.metering):
            await nc.close()

    async def create_organization(self):
        account = await self.accounts.create()
        self.known_accounts[account.public] = account
        return account

    async def connect_client(self, organization, client_id=""):
        """A client that presents only its NKey: (client id, connection)."""
        return await self.accounts.connect_client(organization, client_id)

    async def connect_user(self, organization, issuer, *, user=""):
        """A connection with a JWT of one of the account's signing keys; it calls itself `user`."""
        return await self.accounts.connect_user(organization, issuer, user=user)

    async def call(self, organization, command):
        caller = CallerContext(request_id="test", tenant_id=organization.tenant_id, actor="user:test")
        return await self.gateway.call(command, caller=caller)

    async def publish_usage(self, *entries, **fields):
        await self.gateway.publish(UsageRecorded(server_id="gw", entries=list(entries), **fields))

    @asynccontextmanager
    async def running(self, **changes):
        settings = Settings(
            nats_url=self.url,
            keys_dir=self.keys,
            server_id="test",
            aws_region=REGION,
            redis_url=self.redis_url,
            **{
                "poll_interval_s": POLL_INTERVAL_S,
                "closed_interval_s": 0.5,
                "settle_after_s": 0.3,
                "rollup_interval_s": 0.3,
                **changes,
            },
        )
        async with app(settings):
            yield

    # -- counters ----------------------------------------------------------------------------

    async def has_counts(self, organization, **expected):
        """Assert the counters of today."""
        today = (await self.call(organization, GetLiveUsage())).today
        assert {name: getattr(today, name) for name in expected} == expected
        return True

    async def wait_for_counts(self, organization, *, within=8.0, restarting=False, **expected):
        """Wait for the counters; `restarting`: errors of a service that is not ready yet are ignored."""

        async def check():
            try:
                return await self.has_counts(organization, **expected)
            except CommandError as error:
                if not restarting:
                    raise
                raise AssertionError from error

        await eventually(check, within=within)

    async def wait_for_final_counts(self, organization, *, within=8.0, for_s=0.6, **expected):
        """Wait for the counters and assert that they no longer change.

        A connection's end and its last heartbeat arrive separately, so the counters may differ by
        one for a moment; then the whole check starts over.
        """
        ends = time.monotonic() + within
        while True:
            await self.wait_for_counts(organization, within=within, **expected)
            try:
                return await holds(lambda: self.has_counts(organization, **expected), for_s=for_s)
            except AssertionError:
                if time.monotonic() > ends:
                    raise


async def publish(nc, messages, *, size=10, subject="t.x"):
    for _ in range(messages):
        await nc.publish(subject, b"x" * size)
    await nc.flush()


async def send_heartbeats(nc, organization, client_id, times):
    for _ in range(times):
        await nc.publish(f"_heartbeat.{organization.tenant_id}.{client_id}", b'{"ts":1}')
    await nc.flush()


def bridge_report(organization, nc, total, **entry):
    """A gateway's usage batch with the totals of the bridge that `nc` stands for."""
    return UsageRecorded(
        server_id="gw",
        entries=[UsageEntry(tenant_id=organization.tenant_id, **entry)],
        bridges=[
            BridgeReport(
                tenant_id=organization.tenant_id,
                server=nc._server_info["server_id"],
                cid=nc.client_id,
                messages=total,
                bytes_in=total * 10,
            )
        ],
    )
