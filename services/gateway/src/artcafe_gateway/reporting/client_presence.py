"""The presence of clients and agents that are read from tenancy, which stores a status that may be outdated."""

import contextlib
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.presence import ClientPresence, GetPresences, ListOnlineClients, OnlineClients
from artcafe_common.contracts.tenancy.agents import Agent
from artcafe_common.contracts.tenancy.clients import Client, ClientStatus

ClientOrAgent = TypeVar("ClientOrAgent", bound=Client | Agent)
P = TypeVar("P")


async def find_presences(
    bus: Bus, client_ids: Sequence[str], caller: CallerContext
) -> dict[str, ClientPresence]:
    """The presence of clients or agents by id; empty when presence does not answer."""
    if not client_ids:
        return {}
    # Without presence, lists show the status that tenancy stored last.
    with contextlib.suppress(CommandError):
        found = await bus.call(
            GetPresences(client_ids=list(client_ids)), caller=caller, wait_for_recovery=False
        )
        return {presence.client_id: presence for presence in found.clients}
    return {}


async def read_with_online(
    bus: Bus, reading: Coroutine[Any, Any, P], caller: CallerContext
) -> tuple[P, OnlineClients | None]:
    """A page that is read, and at the same time who is online; None when presence does not answer."""
    page, online = await run_together(reading, _find_online(bus, caller))
    return page, online


async def _find_online(bus: Bus, caller: CallerContext) -> OnlineClients | None:
    try:
        return await bus.call(ListOnlineClients(), caller=caller, wait_for_recovery=False)
    except CommandError:
        return None


async def apply_online(
    bus: Bus, members: list[ClientOrAgent], online: OnlineClients | None, caller: CallerContext
) -> list[ClientOrAgent]:
    """The clients or agents of a page with their current presence.

    A client that tenancy stores as online and that `online` does not list is requested by id, and so are all clients if
    `online` is not complete.
    """
    if online is None:
        return members
    last_seen = {each.client_id: each.last_seen for each in online.clients}
    unknown = [
        _id_of(each)
        for each in members
        if not online.complete or (each.status is ClientStatus.ONLINE and _id_of(each) not in last_seen)
    ]
    presences = await find_presences(bus, unknown, caller)

    def apply(member: ClientOrAgent) -> ClientOrAgent:
        if (seen_at := last_seen.get(_id_of(member))) is not None:
            return _with_status(member, online=True, last_seen=seen_at)
        return with_presence(member, presences.get(_id_of(member)))

    return [apply(each) for each in members]


def with_presence(member: ClientOrAgent, presence: ClientPresence | None) -> ClientOrAgent:
    """A client or agent with the status from presence."""
    if presence is None:
        return member
    return _with_status(member, online=presence.online, last_seen=presence.last_seen)


def _with_status(member: ClientOrAgent, *, online: bool, last_seen: datetime | None) -> ClientOrAgent:
    status = member.status
    if status is not ClientStatus.SUSPENDED:
        status = ClientStatus.ONLINE if online else ClientStatus.OFFLINE
    return msgspec.structs.replace(member, status=status, last_seen=last_seen or member.last_seen)


def _id_of(member: Client | Agent) -> str:
    return member.client_id if isinstance(member, Client) else member.agent_id
