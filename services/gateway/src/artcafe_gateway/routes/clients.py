"""Clients, their keys and their presence."""

import asyncio
import contextlib
from typing import Any, TypeVar

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import (
    ClientHealth,
    ClientPresence,
    Connection,
    GetPresences,
)
from artcafe_common.contracts.tenancy.agents import Agent
from artcafe_common.contracts.tenancy.clients import (
    Client,
    ClientCreated,
    Clients,
    ClientStatus,
    CreateClient,
    DeleteClient,
    GetClient,
    ListClients,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.request import body, query, validate_id

Known = TypeVar("Known", Client, Agent)
SEED_WARNING = "This seed is shown once and stored nowhere: keep it safe."


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a client connects."""

    nats_url: str
    nats_ws_url: str
    websocket_url: str
    subject_prefix: str


class ClientWithSeed(msgspec.Struct, frozen=True, kw_only=True):
    """A client with its new seed, and where to use it."""

    client: Client
    nkey_seed: str
    connection: ConnectionInfo
    warning: str


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a client is there, and over which connections."""

    client_id: str
    name: str
    status: ClientStatus
    health: ClientHealth
    last_seen: Any
    connections: list[Connection]
    metrics: dict[str, Any] | None
    metadata: dict[str, Any] | None


class ClientsController(Controller):
    """A client's status and last_seen come from presence while it is there, else as last known."""

    path = "/clients"
    tags = ["clients"]

    @get("/", summary="The organization's clients", does=[ListClients])
    async def list_clients(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Clients:
        page = await gateway.bus.call(query(request, ListClients), caller=member.caller)
        seen = await presences(gateway, [client.client_id for client in page.clients], member.caller)
        clients = [with_presence(client, seen.get(client.client_id)) for client in page.clients]
        return Clients(clients=clients, next_cursor=page.next_cursor)

    @post("/", summary="Register a client; its seed is shown once", does=[CreateClient])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> ClientWithSeed:
        created = await gateway.bus.call(await body(request, CreateClient), caller=member.caller)
        return _with_seed(created, gateway)

    @get("/{client_id:str}", summary="One client", does=[GetClient])
    async def get_client(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser], client_id: FromPath[str]
    ) -> Client:
        # Presence tells nothing of another tenant's client, so it can be asked at the same time.
        client, seen = await asyncio.gather(
            gateway.bus.call(GetClient(client_id=validate_id(client_id)), caller=member.caller),
            presences(gateway, [client_id], member.caller),
        )
        return with_presence(client, seen.get(client_id))

    @put("/{client_id:str}", summary="Change or suspend a client", does=[UpdateClient])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> Client:
        command = await body(request, UpdateClient, client_id=validate_id(client_id))
        return await gateway.bus.call(command, caller=member.caller)

    @delete(
        "/{client_id:str}",
        status_code=200,
        summary="Delete a client and end its connections",
        does=[DeleteClient],
    )
    async def delete_client(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser], client_id: FromPath[str]
    ) -> Client:
        return await gateway.bus.call(DeleteClient(client_id=validate_id(client_id)), caller=member.caller)

    @post(
        "/{client_id:str}/regenerate-nkey",
        status_code=200,
        summary="A new key for a client",
        does=[RegenerateClientKey],
    )
    async def regenerate(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser], client_id: FromPath[str]
    ) -> ClientWithSeed:
        created = await gateway.bus.call(
            RegenerateClientKey(client_id=validate_id(client_id)), caller=member.caller
        )
        return _with_seed(created, gateway)

    @get("/{client_id:str}/status", summary="Whether a client is there", does=[GetClient, GetPresences])
    async def status(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser], client_id: FromPath[str]
    ) -> ClientReport:
        client = await gateway.bus.call(GetClient(client_id=validate_id(client_id)), caller=member.caller)
        # No fallback here: who asks for the state of things is not told an old one.
        found = await gateway.bus.call(GetPresences(client_ids=[client_id]), caller=member.caller)
        presence = found.clients[0]
        shown = with_presence(client, presence)
        return ClientReport(
            client_id=client.client_id,
            name=client.name,
            status=shown.status,
            health=presence.health,
            last_seen=shown.last_seen,
            connections=presence.connections,
            metrics=presence.metrics,
            metadata=presence.metadata,
        )


async def presences(
    gateway: Gateway, client_ids: list[str], caller: CallerContext
) -> dict[str, ClientPresence]:
    """The presence of clients or agents by id; of none when presence is away."""
    if not client_ids:
        return {}
    # With presence away the list is still there, with the status that tenancy last heard of.
    with contextlib.suppress(CommandError):
        found = await gateway.bus.call(
            GetPresences(client_ids=client_ids), caller=caller, wait_for_recovery=False
        )
        return {presence.client_id: presence for presence in found.clients}
    return {}


def with_presence(client: Known, presence: ClientPresence | None) -> Known:
    """A client or agent with the status that presence knows."""
    if presence is None:
        return client
    status = client.status
    if status is not ClientStatus.SUSPENDED:
        status = ClientStatus.ONLINE if presence.online else ClientStatus.OFFLINE
    return msgspec.structs.replace(client, status=status, last_seen=presence.last_seen or client.last_seen)


def _with_seed(created: ClientCreated, gateway: Gateway) -> ClientWithSeed:
    settings = gateway.settings
    client = created.client
    return ClientWithSeed(
        client=client,
        nkey_seed=created.nkey_seed,
        connection=ConnectionInfo(
            nats_url=settings.public_nats_url,
            nats_ws_url=settings.public_nats_ws_url,
            websocket_url=f"{settings.public_websocket_url}/ws/client/{client.client_id}",
            subject_prefix=f"{client.tenant_id}.",
        ),
        warning=SEED_WARNING,
    )
