"""REST routes: clients, their keys and their presence."""

from typing import Any

import msgspec
from litestar import Controller, Response, delete, get, post, put
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.bus.caller import CallerContext
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.presence import (
    ClientHealth,
    Connection,
    GetPresences,
)
from artcafe_common.contracts.tenancy.agent_cards import AGENT_CARD, AgentCard, AgentCardNotFound
from artcafe_common.contracts.tenancy.agents import Agent
from artcafe_common.contracts.tenancy.clients import (
    Client,
    Clients,
    ClientStatus,
    CreateClient,
    CreatedClient,
    DeleteClient,
    ExplainPermission,
    GetClient,
    ListClients,
    PermissionExplanation,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.grants import inbox_prefix
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import ClientNotAllowed, TenantCaller, TenantUser
from artcafe_gateway.http.conditional import if_match
from artcafe_gateway.http.request import read_body, read_query, validate_id
from artcafe_gateway.reporting.client_presence import (
    apply_online,
    find_presences,
    read_with_online,
    with_presence,
)

SEED_WARNING = "This seed is shown only once and is not stored: save it now."


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses that a client connects to, and the prefixes of its organization's subjects and of its inboxes."""

    nats_url: str
    nats_ws_url: str
    websocket_url: str
    subject_prefix: str
    inbox_prefix: str


class ClientWithSeed(msgspec.Struct, frozen=True, kw_only=True):
    """A client with its new NKey seed, and the addresses to connect to."""

    client: Client
    nkey_seed: str
    connection: ConnectionInfo
    warning: str


class PresenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """The presence of a client or agent, its open connections, and what it reports of itself.

    `metrics` are those of a heartbeat, `traffic` is its own report of its traffic.
    """

    name: str
    status: ClientStatus
    health: ClientHealth
    last_seen: Any
    connections: list[Connection]
    metrics: dict[str, Any] | None
    traffic: dict[str, Any] | None
    metadata: dict[str, Any] | None


class ClientReport(PresenceReport, frozen=True, kw_only=True):
    """A client's presence, its open connections, and what it reports of itself.

    `metrics` are those of a heartbeat, `traffic` is the client's own report of its traffic.
    """

    client_id: str


class ClientsController(Controller):
    """Clients, which authenticate with an NKey. `status` and `last_seen` reflect the client's presence."""

    path = "/clients"
    tags = ["clients"]

    @get("/", summary="List the organization's clients", commands=[ListClients])
    async def list_clients(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Clients:
        bus, caller = gateway.bus, tenant_user.caller
        reading = bus.call(read_query(request, ListClients), caller=caller)
        page, online = await read_with_online(bus, reading, caller)
        clients = await apply_online(bus, page.clients, online, caller)
        return Clients(clients=clients, next_cursor=page.next_cursor)

    @post("/", summary="Create a client; its seed is shown only once", commands=[CreateClient])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> ClientWithSeed:
        created = await gateway.bus.call(await read_body(request, CreateClient), caller=tenant_user.caller)
        return _with_seed(created, gateway)

    @get("/{client_id:str}", summary="Get a client", commands=[GetClient])
    async def get_client(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> Client:
        # Presence is requested in parallel: it returns nothing for another tenant's client.
        client, found = await run_together(
            gateway.bus.call(GetClient(client_id=validate_id(client_id)), caller=tenant_user.caller),
            find_presences(gateway.bus, [client_id], tenant_user.caller),
        )
        return with_presence(client, found.get(client_id))

    @put("/{client_id:str}", summary="Update or suspend a client", commands=[UpdateClient])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> Client:
        command = await read_body(
            request, UpdateClient, client_id=validate_id(client_id), if_match=if_match(request)
        )
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @delete(
        "/{client_id:str}",
        status_code=200,
        summary="Delete a client and close its connections",
        commands=[DeleteClient],
    )
    async def delete_client(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> Client:
        return await gateway.bus.call(
            DeleteClient(client_id=validate_id(client_id), if_match=if_match(request)),
            caller=tenant_user.caller,
        )

    @post(
        "/{client_id:str}/regenerate-nkey",
        status_code=200,
        summary="Generate a new key for a client; its seed is shown only once",
        commands=[RegenerateClientKey],
    )
    async def regenerate(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> ClientWithSeed:
        created = await gateway.bus.call(
            RegenerateClientKey(client_id=validate_id(client_id)), caller=tenant_user.caller
        )
        return _with_seed(created, gateway)

    @post(
        "/{client_id:str}/permissions/test",
        status_code=200,
        summary="Explain whether a client may publish or subscribe to a subject",
        commands=[ExplainPermission],
    )
    async def explain_permission(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> PermissionExplanation:
        command = await read_body(request, ExplainPermission, client_id=validate_id(client_id))
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @get(
        "/{client_id:str}/agent-card",
        summary="Get a client's agent card (A2A 1.0)",
        commands=[GetClient],
        response_type=AgentCard,
        errors=[AgentCardNotFound],
    )
    async def agent_card(
        self,
        gateway: NamedDependency[Gateway],
        tenant_caller: NamedDependency[TenantCaller],
        client_id: FromPath[str],
    ) -> Response[bytes]:
        client = await gateway.bus.call(
            GetClient(client_id=validate_id(client_id)), caller=tenant_caller.lookup_caller
        )
        # As it was stored, with fields that are unknown here.
        card = client.metadata.get(AGENT_CARD)
        if card is None:
            raise AgentCardNotFound
        return Response(msgspec.json.encode(card), media_type="application/json")

    @get(
        "/{client_id:str}/status",
        summary="Get a client's presence and connections",
        commands=[GetClient, GetPresences],
        errors=[ClientNotAllowed],
    )
    async def status(
        self,
        gateway: NamedDependency[Gateway],
        tenant_caller: NamedDependency[TenantCaller],
        client_id: FromPath[str],
    ) -> ClientReport:
        tenant_caller.require_client(client_id)
        caller = tenant_caller.lookup_caller
        client = await gateway.bus.call(GetClient(client_id=validate_id(client_id)), caller=caller)
        report = await report_presence(gateway, client, client.client_id, caller)
        return ClientReport(client_id=client.client_id, **msgspec.structs.asdict(report))


async def report_presence(
    gateway: Gateway, client: Client | Agent, client_id: str, caller: CallerContext
) -> PresenceReport:
    """The presence of a client or agent with its connections; CommandError when presence does not answer."""
    # An outdated status would mislead.
    found = await gateway.bus.call(GetPresences(client_ids=[client_id]), caller=caller)
    presence = found.clients[0]
    current = with_presence(client, presence)
    return PresenceReport(
        name=client.name,
        status=current.status,
        health=presence.health,
        last_seen=current.last_seen,
        connections=presence.connections,
        metrics=presence.metrics,
        traffic=presence.traffic,
        metadata=presence.metadata,
    )


def _with_seed(created: CreatedClient, gateway: Gateway) -> ClientWithSeed:
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
            inbox_prefix=inbox_prefix(client.client_id),
        ),
        warning=SEED_WARNING,
    )
