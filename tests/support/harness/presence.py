"""A presence service in the test's process, and the parts of gateway and identity that it needs."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

from redis.asyncio import Redis

from artcafe_common.broker.connect import connect
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.endpoints import EndpointServer, handles
from artcafe_common.bus.events_stream import EVENTS_STREAM
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.accounts import AccountMissing, BrokerAccount, FindAccount
from artcafe_common.contracts.presence import (
    ClosedSocket,
    ConnectionsChanged,
    GatewayAlive,
    GetPresences,
    Heartbeat,
    HeartbeatsReceived,
    OpenedSocket,
    PresencesChanged,
)
from artcafe_common.dev.stack import REGION
from artcafe_common.lifecycle import run_background
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.table import Table
from artcafe_presence.app import app
from artcafe_presence.settings import Settings
from artcafe_presence.tables import CONNECTIONS
from support.harness.broker_accounts import BrokerAccounts
from support.waiting import eventually

TIMEOUT_S = 2.0
SERVER = "gateway-1"
ONLINE, OFFLINE = True, False
_ACCOUNT = "A" + "X" * 55


class PresenceHarness:
    """Starts and stops the service, reports connections as a gateway does, and records its events."""

    def __init__(self, stack):
        self.stack = stack
        self.keys = stack.directory / "keys"
        self.url = f"nats://127.0.0.1:{stack.ports.nats}"
        self.accounts = BrokerAccounts(self.url, self.keys)
        self.events = []
        self.service = None
        self.instance = uuid4().hex

    def settings(self, **changes):
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
                **changes,
            }
        )

    @handles(FindAccount)
    async def find_account(self, request: FindAccount) -> BrokerAccount:
        account = self.accounts.by_key.get(request.account)
        if account is None:
            raise AccountMissing
        return BrokerAccount(
            account=request.account, tenant_id=account.tenant_id, platform_key=account.platform_key.public
        )

    async def start(self):
        self.service = AsyncExitStack()
        await self.service.enter_async_context(app(self.settings()))

    async def stop(self):
        if self.service is not None:
            await self.service.aclose()
            self.service = None

    async def connect(self, exit_stack):
        """Connect to the servers; `exit_stack` closes the connections."""
        gateway = await connect(self.url, self.keys / "gateway.creds", name="gateway")
        exit_stack.push_async_callback(gateway.close)
        self.bus = Bus(gateway, service="gateway")
        tenancy = await connect(self.url, self.keys / "tenancy.creds", name="tenancy")
        exit_stack.push_async_callback(tenancy.close)
        # Tenancy consumes the events of presence; it is not running here.
        consumer = EventConsumer(Bus(tenancy, service="tenancy"), "tenancy", {PresencesChanged: self._record})
        await exit_stack.enter_async_context(run_background(consumer.run()))
        self._presence = await connect(self.url, self.keys / "presence.creds", name="presence")
        exit_stack.push_async_callback(self._presence.close)
        # Before the first event, which would have no stream.
        await Bus(self._presence, service="presence").ensure_events_stream()
        await self.accounts.open()
        identity = await connect(self.url, self.keys / "identity.creds", name="identity")
        exit_stack.push_async_callback(identity.close)
        server = EndpointServer(identity, "identity")
        await server.start()
        await server.serve(self)
        exit_stack.push_async_callback(self.accounts.close)
        self.redis = Redis(port=self.stack.ports.redis, decode_responses=True)
        exit_stack.push_async_callback(self.redis.aclose)
        self.database = await exit_stack.enter_async_context(
            Database(region=REGION, prefix="artcafe-", environ=self.stack.environ())
        )
        await self.database.create_table(CONNECTIONS)
        self.rows = Table(self.database, CONNECTIONS)

    async def _record(self, event):
        self.events += event.changes

    @asynccontextmanager
    async def nats_client(self, account, client_id, **options):
        """A client that connects to the broker directly."""
        _, nc = await self.accounts.connect_client(account, client_id, **options)
        try:
            yield nc
        finally:
            await nc.close()

    # -- what a gateway reports --------------------------------------------------------------

    async def open(self, tenant_id, client_id, connection_id=None, *, instance=None, event_id=None):
        """Report an opened WebSocket; returns its connection id."""
        opened = self.opened(tenant_id, client_id, connection_id)
        await self.change(opened=[opened], instance=instance, event_id=event_id)
        return opened.connection_id

    def opened(self, tenant_id, client_id, connection_id=None):
        """An opened WebSocket, for `change`."""
        return OpenedSocket(
            connection_id=connection_id or new_id(),
            tenant_id=tenant_id,
            client_id=client_id,
            account=_ACCOUNT,
            opened_at=datetime.now(UTC),
            ip="192.0.2.7",
        )

    async def close(self, tenant_id, client_id, connection_id):
        closed = ClosedSocket(connection_id=connection_id, tenant_id=tenant_id, reason="client_left")
        await self.change(closed=[closed])

    async def change(self, *, opened=(), closed=(), instance=None, event_id=None):
        """Report WebSockets that were opened and closed at the same time."""
        await self.bus.publish(
            ConnectionsChanged(
                event_id=event_id or new_id(),
                server_id=SERVER,
                instance=instance or self.instance,
                opened=list(opened),
                closed=list(closed),
            )
        )

    async def heartbeat(self, tenant_id, client_id, connection_id, **fields):
        heartbeat = Heartbeat(connection_id=connection_id, tenant_id=tenant_id, client_id=client_id, **fields)
        await self.bus.notify(HeartbeatsReceived(server_id=SERVER, heartbeats=[heartbeat]))

    async def gateway_alive(self, instance=None):
        signal = GatewayAlive(server_id=SERVER, instance=instance or self.instance, timeout_s=60)
        await self.bus.notify(signal)

    async def wait_until_applied(self):
        """Wait until the service has applied every event published so far."""
        js = self._presence.jetstream()

        async def applied():
            consumer = await js.consumer_info(EVENTS_STREAM, "presence")
            return consumer.num_pending == 0 and consumer.num_ack_pending == 0

        await eventually(applied)

    # -- what the service answers and announces ----------------------------------------------

    async def presence(self, tenant_id, *client_ids):
        """The presence of one client, or the list of several."""
        caller = CallerContext(request_id="test", tenant_id=tenant_id)
        reply = await self.bus.call(GetPresences(client_ids=list(client_ids)), caller=caller)
        return reply.clients if len(client_ids) > 1 else reply.clients[0]

    async def count(self, tenant_id):
        """How many connections of a tenant count for its plan."""
        async with Redis.from_url(self.settings().redis_url) as redis:
            return await redis.scard(f"presence:tenant:{tenant_id}")

    async def wait_for_history(self, client_id, *transitions, within=3.0):
        """Wait for as many transitions of a client as expected; assert that they are these."""
        ends = time.monotonic() + within
        while len(self.history(client_id)) < len(transitions) and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        assert self.history(client_id) == list(transitions)

    def history(self, client_id):
        return [event.online for event in self.events if event.client_id == client_id]

    def last_event(self, client_id):
        return [event for event in self.events if event.client_id == client_id][-1]
