"""Worker jobs that replace a service, or send what a service consumes."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

from artcafe_common.broker.connect import connect
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import EndpointServer, handles
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.presence import (
    ConnectionsChanged,
    GatewayAlive,
    Heartbeat,
    HeartbeatsReceived,
    OpenedSocket,
)
from artcafe_common.contracts.tenancy.clients import Client, Clients, ClientStatus, GetClient, ListClients
from artcafe_common.contracts.tenancy.members import Membership, ResolveMembership, Role
from artcafe_common.plans import Plan
from bench.publisher import Publisher

# About those of one interval of a gateway in a storm of logins.
OPENED_PER_EVENT = 50
_running = {}


class InMemoryTenancy:
    """Answers the reads of tenancy from memory."""

    def __init__(self, tenant_id, agents):
        now = datetime.now(UTC)
        self._clients = {
            agent["id"]: Client(
                client_id=agent["id"],
                tenant_id=tenant_id,
                name=f"agent {number}",
                nkey_public="U" + "A" * 55,
                permissions=Permissions(),
                status=ClientStatus.OFFLINE,
                last_seen=now,
                metadata={},
                created_at=now,
                updated_at=now,
            )
            for number, agent in enumerate(agents)
        }
        self._tenant_id = tenant_id

    @handles(GetClient)
    async def get_client(self, request: GetClient) -> Client:
        return self._clients[request.client_id]

    @handles(ListClients)
    async def list_clients(self, request: ListClients) -> Clients:
        return Clients(clients=list(self._clients.values())[: request.limit], next_cursor=None)

    @handles(ResolveMembership)
    async def resolve_membership(self, request: ResolveMembership) -> Membership:
        return Membership(
            tenant_id=self._tenant_id, user_id=request.user_id, role=Role.OWNER, plan=Plan.ENTERPRISE
        )


async def start_tenancy(url, creds, tenant_id, agents):
    """Answer the reads of tenancy until `stop_tenancy`."""
    nc = await connect(url, Path(creds), name="tenancy")
    server = EndpointServer(nc, "tenancy")
    await server.start()
    await server.serve(InMemoryTenancy(tenant_id, agents))
    _running["tenancy"] = (nc, server)


async def stop_tenancy():
    nc, server = _running.pop("tenancy")
    await server.stop()
    await nc.close()


async def open_connections(url, creds, tenant_id, count):
    """Announce `count` client connections to presence, as a gateway would; returns the seconds it took."""
    nc = await connect(url, Path(creds), name="gateway")
    bus, instance = Bus(nc, service="gateway"), new_id()
    connections = [(new_id(), new_id()) for _ in range(count)]
    # An unknown account: presence events for the tenant reach no subscriber.
    account = create_key_pair(KeyKind.ACCOUNT).public
    _running["gateway"] = (nc, bus, instance, tenant_id, connections)
    began = time.monotonic()
    alive = asyncio.create_task(_announce_gateway(bus, instance))
    for start in range(0, count, OPENED_PER_EVENT):
        opened = [
            OpenedSocket(
                connection_id=connection_id,
                tenant_id=tenant_id,
                client_id=client_id,
                account=account,
                opened_at=datetime.now(UTC),
                ip="127.0.0.1",
            )
            for connection_id, client_id in connections[start : start + OPENED_PER_EVENT]
        ]
        await bus.publish(ConnectionsChanged(server_id="bench", instance=instance, opened=opened))
    _running["alive"] = alive
    return time.monotonic() - began


async def _announce_gateway(bus, instance):
    while True:
        await bus.notify(GatewayAlive(server_id="bench", instance=instance))
        await asyncio.sleep(2)


async def send_heartbeat_batches(rate, seconds):
    """Heartbeats of the connections in turn, batched once a second, as a gateway sends them."""
    _, bus, _, tenant_id, connections = _running["gateway"]
    began, sent = time.monotonic(), 0
    for second in range(int(seconds)):
        await asyncio.sleep(began + second - time.monotonic())
        current = [connections[(sent + n) % len(connections)] for n in range(rate)]
        sent += rate
        for start in range(0, len(current), 2_000):
            heartbeats = [
                Heartbeat(connection_id=connection_id, tenant_id=tenant_id, client_id=client_id)
                for connection_id, client_id in current[start : start + 2_000]
            ]
            await bus.notify(HeartbeatsReceived(server_id="bench", heartbeats=heartbeats))
    return sent


async def publish_heartbeats(port, agent, tenant_id, rate, seconds):
    """Heartbeats of one client over NATS, one message each."""
    publisher = await Publisher.connect("127.0.0.1", port, agent["seed"])
    try:
        return await publisher.publish_paced(f"_heartbeat.{tenant_id}.{agent['id']}", rate, seconds)
    finally:
        await publisher.close()


async def close_connections():
    """Disconnect; presence detects that the gateway is gone."""
    _running.pop("alive").cancel()
    nc, *_ = _running.pop("gateway")
    await nc.close()


JOBS = {
    "start_tenancy": start_tenancy,
    "stop_tenancy": stop_tenancy,
    "open_connections": open_connections,
    "send_heartbeat_batches": send_heartbeat_batches,
    "publish_heartbeats": publish_heartbeats,
    "close_connections": close_connections,
}
