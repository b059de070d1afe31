"""Keeps one bridge connected: the states of its connection, and the transitions between them."""

import asyncio
import random
import secrets
from contextlib import suppress
from enum import Enum
from functools import partial

import nats.errors
import structlog
from nats.aio.client import RawCredentials

from artcafe_common.backoff import Backoff
from artcafe_common.broker.claims import Credentials
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.broker.subjects import PRIVATE_INBOX_PREFIX
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountKind, IssueBridgeCredentials
from artcafe_common.tls import create_tls
from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.bridges.subscriptions import BridgeSubscriptions
from artcafe_gateway.errors import BrokerUnavailable
from artcafe_gateway.settings import Settings

CONNECT_TIMEOUT_S = 3
FLUSH_TIMEOUT_S = 5
INBOX_TOKEN_BYTES = 16
FIRST_RECONNECT_DELAY_S = 0.05
MAX_RECONNECT_DELAY_S = 2.0
log = structlog.get_logger()


class BridgeState(Enum):
    """The state of a bridge's connection."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


TRANSITIONS = {
    BridgeState.CONNECTING: {BridgeState.CONNECTED, BridgeState.CLOSED},
    BridgeState.CONNECTED: {BridgeState.RECONNECTING, BridgeState.CLOSED},
    BridgeState.RECONNECTING: {BridgeState.CONNECTED, BridgeState.CLOSED},
    BridgeState.CLOSED: {BridgeState.CLOSED},
}


class BridgeConnector:
    """Connects to one of a tenant's accounts, and reconnects until it is closed.

    `connection` is set in the state CONNECTED, and None in the others.
    """

    def __init__(
        self,
        account: AccountKind,
        *,
        tenant_id: str,
        bus: Bus,
        settings: Settings,
        subscriptions: BridgeSubscriptions,
    ) -> None:
        self._account = account
        self.state = BridgeState.CONNECTING
        self.connection: BridgeConnection | None = None
        self._tenant_id = tenant_id
        self._bus = bus
        self._settings = settings
        self._subscriptions = subscriptions
        self._reconnect_task: asyncio.Task[None] | None = None
        self._last_server = ""

    def _enter(self, state: BridgeState, connection: BridgeConnection | None = None) -> None:
        if state not in TRANSITIONS[self.state]:
            raise BrokerUnavailable(f"the bridge is {self.state.value}")
        self.state, self.connection = state, connection

    async def open(self) -> None:
        """Connects for the first time; CommandError."""
        try:
            await self._connect()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error

    async def close(self) -> None:
        """Disconnects, and does not reconnect. Idempotent."""
        connection = self.connection
        self._enter(BridgeState.CLOSED)
        if self._reconnect_task is not None:
            self._reconnect_task.cancel()
        if connection is not None:
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await connection.close()

    def require_connection(self) -> BridgeConnection:
        """Returns the open connection; BrokerUnavailable."""
        connection = self.connection
        if connection is None or not connection.is_connected:
            raise BrokerUnavailable
        return connection

    async def flush(self) -> None:
        """Does one round trip to the broker; BrokerUnavailable."""
        connection = self.require_connection()
        try:
            await connection.flush(FLUSH_TIMEOUT_S)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerUnavailable from error

    async def _connect(self) -> None:
        pair = create_key_pair(KeyKind.USER)
        issued = await self._bus.call(
            IssueBridgeCredentials(
                tenant_id=self._tenant_id,
                nkey_public=pair.public,
                server_id=self._settings.server_id,
                account=self._account,
            ),
            caller=CallerContext.service("gateway"),
        )
        connection = BridgeConnection()
        try:
            await connection.connect(
                servers=self._order_servers(),
                dont_randomize=True,
                tls=create_tls(self._settings.ca_file),
                user_credentials=RawCredentials(Credentials(jwt=issued.jwt, seed=pair.seed).render()),
                name=f"gateway {self._settings.server_id}",
                # Nobody but the platform may subscribe to it, and nobody can guess it.
                inbox_prefix=f"{PRIVATE_INBOX_PREFIX}.{secrets.token_hex(INBOX_TOKEN_BYTES)}",
                connect_timeout=CONNECT_TIMEOUT_S,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=self._on_error,
                closed_cb=partial(self._on_connection_closed, connection),
            )
            self._last_server = connection.url
            attached = await self._subscriptions.attach_all(connection, FLUSH_TIMEOUT_S)
            self._enter(BridgeState.CONNECTED, connection)
            await self._subscriptions.attach_changes(connection, attached)
        except BaseException:
            # A leftover connection would deliver every message a second time.
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await connection.close()
            raise

    def _order_servers(self) -> list[str]:
        """The servers in random order, and the one of the lost connection last: it may accept, and not answer."""
        servers = self._settings.nats_url.split(",")
        random.shuffle(servers)
        return sorted(servers, key=lambda server: server == self._last_server)

    async def _on_error(self, error: Exception) -> None:
        log.warning("bridge_error", tenant_id=self._tenant_id, reason=repr(error))

    async def _on_connection_closed(self, connection: BridgeConnection) -> None:
        if self.connection is not connection:
            return
        self._enter(BridgeState.RECONNECTING)
        self._subscriptions.mark_unconfirmed()
        if self._reconnect_task is None:
            self._reconnect_task = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        backoff = Backoff(FIRST_RECONNECT_DELAY_S, MAX_RECONNECT_DELAY_S)
        try:
            while self.state is BridgeState.RECONNECTING:
                try:
                    await self._connect()
                except (CommandError, nats.errors.Error, OSError, TimeoutError) as error:
                    log.warning("bridge_reconnecting", tenant_id=self._tenant_id, reason=repr(error))
                    await asyncio.sleep(backoff.next_pause_s())
        finally:
            self._reconnect_task = None
