"""What a worker does in place of a service, or in place of what a service hears."""

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
from artcafe_common.contracts.presence import ConnectionOpened, GatewayAlive, Heartbeat, HeartbeatsReceived
from artcafe_common.contracts.tenancy.clients import Client, Clients, ClientStatus, GetClient, ListClients
from artcafe_common.contracts.tenancy.members import Membership, ResolveMembership, Role
from artcafe_common.plans import Plan
from bench.broker import Publisher

OPENED_AT_ONCE = 200
_here = {}


class Tenancy:
    """Answers as tenancy does, out of memory."""

    def __init__(self, tenant_id, agents):
        at = datetime.now(UTC)
        self._clients = {
            agent["id"]: Client(
                client_id=agent["id"],
                tenant_id=tenant_id,
                name=f"agent {number}",
                nkey_public="U" + "A" * 55,
                permissions=Permissions(),
                status=ClientStatus.OFFLINE,
                last_seen=at,
                metadata={},
                created_at=at,
                updated_at=at,
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
    async def membership(self, request: ResolveMembership) -> Membership:
        return Membership(
            tenant_id=self._tenant_id, user_id=request.user_id, role=Role.OWNER, plan=Plan.ENTERPRISE
        )


async def play_tenancy(url, creds, tenant_id, agents):
    """Answer tenancy's reads until `stop_playing`."""
    nc = await connect(url, Path(creds), name="tenancy")
    server = EndpointServer(nc, "tenancy")
    await server.start()
    await server.serve(Tenancy(tenant_id, agents))
    _here["tenancy"] = (nc, server)


async def stop_playing():
    nc, server = _here.pop("tenancy")
    await server.stop()
    await nc.close()


async def open_connections(url, creds, tenant_id, count):
    """Tell presence of `count` clients that connected to a gateway that there is not."""
    nc = await connect(url, Path(creds), name="gateway")
    bus, instance = Bus(nc, service="gateway"), new_id()
    connections = [(new_id(), new_id()) for _ in range(count)]
    account = create_key_pair(KeyKind.ACCOUNT).public  # nobody's: what the tenant is told goes nowhere
    _here["gateway"] = (nc, bus, instance, tenant_id, connections)
    began = time.monotonic()
    alive = asyncio.create_task(_stay_alive(bus, instance))
    gate = asyncio.Semaphore(OPENED_AT_ONCE)

    async def one(connection_id, client_id):
        async with gate:
            await bus.publish(
                ConnectionOpened(
                    connection_id=connection_id,
                    tenant_id=tenant_id,
                    client_id=client_id,
                    account=account,
                    server_id="bench",
                    instance=instance,
                    ip="127.0.0.1",
                    user_agent="bench",
                )
            )

    await asyncio.gather(*(one(*each) for each in connections))
    _here["alive"] = alive
    return time.monotonic() - began


async def _stay_alive(bus, instance):
    while True:
        await bus.notify(GatewayAlive(server_id="bench", instance=instance))
        await asyncio.sleep(2)


async def beat(rate, seconds):
    """Heartbeats of the connections in turn, as a gateway hands them over: once a second."""
    _, bus, _, tenant_id, connections = _here["gateway"]
    began, at = time.monotonic(), 0
    for second in range(int(seconds)):
        await asyncio.sleep(began + second - time.monotonic())
        some = [connections[(at + n) % len(connections)] for n in range(rate)]
        at += rate
        for start in range(0, len(some), 2_000):
            beats = [
                Heartbeat(connection_id=connection_id, tenant_id=tenant_id, client_id=client_id)
                for connection_id, client_id in some[start : start + 2_000]
            ]
            await bus.notify(HeartbeatsReceived(server_id="bench", heartbeats=beats))
    return at


async def beat_directly(port, agent, tenant_id, rate, seconds):
    """The same number straight over NATS, each a message of its own."""
    publisher = await Publisher.connect("127.0.0.1", port, agent["seed"])
    try:
        return await publisher.paced(f"_heartbeat.{tenant_id}.{agent['id']}", rate, seconds)
    finally:
        await publisher.close()


async def close_connections():
    """Leave; presence notices that the gateway is gone."""
    _here.pop("alive").cancel()
    nc, *_ = _here.pop("gateway")
    await nc.close()


COMMANDS = {
    "play_tenancy": play_tenancy,
    "stop_playing": stop_playing,
    "open_connections": open_connections,
    "beat": beat,
    "beat_directly": beat_directly,
    "close_connections": close_connections,
}
