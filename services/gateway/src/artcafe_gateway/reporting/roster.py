"""Who is in an organization: its catalog, and what presence knows, without a request to the agents."""

import contextlib
from collections.abc import Sequence

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.presence import (
    MAX_ANNOUNCED,
    ClientKind,
    ClientPresence,
    GetPresences,
)
from artcafe_common.contracts.tenancy.agents import Agent, ListAgents
from artcafe_common.contracts.tenancy.clients import Client, ClientStatus, ListClients
from artcafe_common.contracts.tenancy.fields import CursorText, Limit, NamePart
from artcafe_common.cursors import CursorCodec
from artcafe_gateway.reporting.client_presence import with_presence
from artcafe_gateway.wire.frames import RosterEntry

_SCOPE = "roster"


class RosterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """List who is in the organization: its clients, then its agents, optionally of one status or by part of the name.

    A page may be short or empty without being the last.
    """

    limit: Limit = 50
    cursor: CursorText | None = None
    status: ClientStatus | None = None
    name: NamePart | None = None


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the organization's clients and agents."""

    roster: list[RosterEntry]
    next_cursor: str | None


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page begins: in the clients, or after them in the agents."""

    agents: bool = False
    cursor: str | None = None


class RosterReader:
    """Reads pages of the roster."""

    def __init__(self, bus: Bus, cursors: CursorCodec) -> None:
        self._bus = bus
        self._cursors = cursors

    async def read(self, query: RosterQuery, caller: CallerContext) -> Roster:
        """A page of the caller's organization; InvalidCursor, CommandError."""
        decoded = self._cursors.decode(caller.tenant_id, _SCOPE, query.cursor)
        position = msgspec.convert(decoded or {}, _Position)
        members, following = await self._read_catalog(caller, query, position)
        presences = await self._find_announced([_id_of(each) for each in members], caller)
        return Roster(
            roster=[_to_entry(each, presences.get(_id_of(each))) for each in members],
            next_cursor=self._cursors.encode(
                caller.tenant_id, _SCOPE, None if following is None else msgspec.structs.asdict(following)
            ),
        )

    async def _read_catalog(
        self, caller: CallerContext, query: RosterQuery, position: _Position
    ) -> tuple[list[Client | Agent], _Position | None]:
        members: list[Client | Agent] = []
        if not position.agents:
            clients = await self._bus.call(
                ListClients(limit=query.limit, cursor=position.cursor, status=query.status, name=query.name),
                caller=caller,
            )
            if clients.next_cursor is not None:
                return list(clients.clients), _Position(cursor=clients.next_cursor)
            members = list(clients.clients)
            position = _Position(agents=True)
        remaining = query.limit - len(members)
        if remaining == 0:
            return members, position
        agents = await self._bus.call(
            ListAgents(limit=remaining, cursor=position.cursor, status=query.status, name=query.name),
            caller=caller,
        )
        members += agents.agents
        return members, None if agents.next_cursor is None else _Position(
            agents=True, cursor=agents.next_cursor
        )

    async def _find_announced(
        self, client_ids: Sequence[str], caller: CallerContext
    ) -> dict[str, ClientPresence]:
        parts = [client_ids[n : n + MAX_ANNOUNCED] for n in range(0, len(client_ids), MAX_ANNOUNCED)]
        # Without presence, the roster shows the status that tenancy stored last.
        with contextlib.suppress(CommandError):
            found = await run_together(
                *(
                    self._bus.call(
                        GetPresences(client_ids=list(part), announced=True),
                        caller=caller,
                        wait_for_recovery=False,
                    )
                    for part in parts
                )
            )
            return {presence.client_id: presence for each in found for presence in each.clients}
        return {}


def _id_of(member: Client | Agent) -> str:
    return member.client_id if isinstance(member, Client) else member.agent_id


def _to_entry(member: Client | Agent, presence: ClientPresence | None) -> RosterEntry:
    current = with_presence(member, presence)
    return RosterEntry(
        client_id=_id_of(member),
        kind=ClientKind.CLIENT if isinstance(member, Client) else ClientKind.AGENT,
        name=member.name,
        status=current.status,
        health=None if presence is None else presence.health,
        last_seen=current.last_seen,
        capabilities=None if presence is None else presence.capabilities,
        metadata=None if presence is None else presence.metadata,
    )
