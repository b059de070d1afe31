"""Monitoring and control through the broker's system account: lists of connections and streams, events, kicks."""

from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.broker.server_requests import STATISTICS, request_all, request_server, request_servers
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.concurrency import run_bounded

# The connections of one reply: of all servers at once, and of one server.
PAGE_SIZE = 1024
SERVER_PAGE_SIZE = 8192
PAGE_OVERLAP = 64
MAX_CONCURRENT_LISTS = 16
STREAMS_PAGE_SIZE = 256
KICK_TIMEOUT_S = 2
# The name of the platform's administrative connections in a tenant's account. Their traffic is not counted; the name
# is only trusted on connections of the platform's own users.
PLATFORM_CONNECTION_NAME = "platform"
ACCOUNT_TOTALS = "$SYS.REQ.ACCOUNT.PING.STATZ"
DISCONNECT_EVENTS = "$SYS.ACCOUNT.*.DISCONNECT"
# Both kinds of events over one subscription, which keeps the order in which the broker sent them.
ACCOUNT_EVENTS = "$SYS.ACCOUNT.*.*"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A nats-server. Its name is stable, its id changes with each start."""

    id: str
    name: str


class BrokerConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection in a CONNZ response; `in_*` counts what the client sent, `name_tag` is the tenant id.

    `authorized_user` is the client id if the platform's key issued the user (`issuer_key`); others choose it.
    """

    cid: int
    account: str = ""
    authorized_user: str = ""
    name_tag: str = ""
    issuer_key: str = ""
    name: str = ""
    ip: str = ""
    start: datetime
    stop: datetime | None = None
    subscriptions: int = 0
    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class EventClientInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The connection that a CONNECT or DISCONNECT event is about."""

    id: int
    acc: str = ""
    user: str = ""
    name: str = ""
    name_tag: str = ""
    issuer_key: str = ""
    host: str = ""
    start: datetime
    stop: datetime | None = None


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The message and byte totals of a connection."""

    msgs: int = 0
    bytes: int = 0


class ConnectionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A CONNECT or DISCONNECT event. `sent` counts what the client sent; only DISCONNECT has it."""

    server: Server
    client: EventClientInfo
    sent: Traffic = Traffic()
    received: Traffic = Traffic()
    reason: str = ""


class _Connz(msgspec.Struct, frozen=True, kw_only=True):
    total: int = 0
    connections: list[BrokerConnection] = []


class _ServerReply(msgspec.Struct, frozen=True, kw_only=True):
    server: Server


class _ConnzReply(msgspec.Struct, frozen=True, kw_only=True):
    server: Server
    data: _Connz = _Connz()


class AccountTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of an account to one server, and the account's traffic there since the server started.

    `name` is the tenant id, for the account of a tenant's clients; `received` counts what clients sent.
    """

    acc: str
    name: str = ""
    conns: int = 0
    sent: Traffic = Traffic()
    received: Traffic = Traffic()


class _AccountStatz(msgspec.Struct, frozen=True, kw_only=True):
    account_statz: list[AccountTotals] = []


class _AccountTotalsReply(msgspec.Struct, frozen=True, kw_only=True):
    server: Server
    data: _AccountStatz = _AccountStatz()


class _StreamDetail(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    config: dict[str, Any] = {}


class _ApiStats(msgspec.Struct, frozen=True, kw_only=True):
    total: int = 0


class _AccountDetail(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    api: _ApiStats = _ApiStats()
    stream_detail: list[_StreamDetail] = []


class _Jsz(msgspec.Struct, frozen=True, kw_only=True):
    account_details: list[_AccountDetail] = []


class _JszReply(msgspec.Struct, frozen=True, kw_only=True):
    data: _Jsz = _Jsz()


class _Varz(msgspec.Struct, frozen=True, kw_only=True):
    trusted_operators_jwt: list[str] = []


class _VarzReply(msgspec.Struct, frozen=True, kw_only=True):
    server: Server
    data: _Varz = _Varz()


class ServerConnections(msgspec.Struct, frozen=True, kw_only=True):
    """The connections to one server."""

    server: Server
    connections: list[BrokerConnection]


def nats_connection_id(server_id: str, cid: int) -> str:
    """The connection id of a direct NATS connection; never reused, because a server id is new at each start."""
    return f"nats:{server_id}:{cid}"


async def list_connections(system: Nats, *, account: str | None = None) -> list[ServerConnections]:
    """The open connections to each server; of one account, if given.

    Raises ServiceUnavailable if no server replies.
    """
    listings: list[ServerConnections] = []
    query = {"acc": account} if account else {}
    for reply in await request_servers(system, "CONNZ", _query(limit=PAGE_SIZE, **query)):
        listing = msgspec.json.decode(reply, type=_ConnzReply)
        server, connections = listing.server, listing.data.connections
        if len(connections) < listing.data.total:
            connections = (
                await list_account_connections(system, server.id, account)
                if account
                else await _list_by_account(system, server.id)
            )
        listings.append(ServerConnections(server=server, connections=connections))
    return listings


async def _list_by_account(system: Nats, server_id: str) -> list[BrokerConnection]:
    """The open connections to a server, which reads all of them for each page of a list, but not for an account's."""
    try:
        accounts = [each.acc for each in (await read_account_totals(system)).get(server_id, ())]
    except ServiceUnavailable:
        # The server replies, so these credentials are of an earlier release.
        return await _list_pages(system, server_id)
    lists = await run_bounded(
        [partial(list_account_connections, system, server_id, each) for each in accounts],
        limit=MAX_CONCURRENT_LISTS,
    )
    return [connection for connections in lists for connection in connections]


async def list_account_connections(system: Nats, server_id: str, account: str) -> list[BrokerConnection]:
    """The open connections of one account to one server. Raises ServiceUnavailable."""
    return await _list_pages(system, server_id, acc=account)


async def _list_pages(system: Nats, server_id: str, **query: object) -> list[BrokerConnection]:
    connections: dict[int, BrokerConnection] = {}
    while True:
        # A connection that ends between two pages moves others to an earlier page, so pages overlap.
        offset = max(0, len(connections) - PAGE_OVERLAP)
        page = await _read_page(system, server_id, offset=offset, **query)
        known = len(connections)
        connections |= {each.cid: each for each in page.connections}
        if len(connections) >= page.total or len(connections) == known:
            return list(connections.values())


async def list_closed_connections(system: Nats, since: datetime) -> list[ServerConnections]:
    """The connections to each server that closed after `since`, as far as it remembers them.

    Raises ServiceUnavailable if no server replies.
    """
    listings: list[ServerConnections] = []
    query: dict[str, object] = {"state": 1, "sort": "stop"}
    for reply in await request_servers(system, "CONNZ", _query(limit=PAGE_SIZE, **query)):
        first = msgspec.json.decode(reply, type=_ConnzReply)
        connections = first.data.connections
        while len(connections) < first.data.total and _closed_after(connections[-1:], since):
            page = await _read_page(system, first.server.id, offset=len(connections), **query)
            if not page.connections:
                break
            connections += page.connections
        listings.append(ServerConnections(server=first.server, connections=_closed_after(connections, since)))
    return listings


def _closed_after(connections: list[BrokerConnection], since: datetime) -> list[BrokerConnection]:
    return [each for each in connections if each.stop is not None and each.stop > since]


async def _read_page(system: Nats, server_id: str, **query: object) -> _Connz:
    reply = await request_server(system, server_id, "CONNZ", _query(limit=SERVER_PAGE_SIZE, **query))
    return msgspec.json.decode(reply, type=_ConnzReply).data


def _query(**query: object) -> bytes:
    return msgspec.json.encode({"auth": True, **query})


async def read_account_totals(system: Nats) -> dict[str, list[AccountTotals]]:
    """The totals of the accounts with connections, by server id. Raises ServiceUnavailable if no server replies."""
    replies = [
        msgspec.json.decode(reply, type=_AccountTotalsReply)
        for reply in await request_all(system, ACCOUNT_TOTALS, b"{}")
    ]
    return {reply.server.id: reply.data.account_statz for reply in replies}


async def kick(system: Nats, server_id: str, cid: int) -> None:
    """End a connection; does nothing if it has ended. Raises ServiceUnavailable if the server does not reply.

    This is a request because servers ignore the message without a reply subject.
    """
    try:
        await system.request(
            f"$SYS.REQ.SERVER.{server_id}.KICK", msgspec.json.encode({"cid": cid}), timeout=KICK_TIMEOUT_S
        )
    except nats.errors.NoRespondersError:
        return  # The server has stopped, which ended its connections.
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise ServiceUnavailable("the broker does not reply") from error


async def list_streams(system: Nats) -> dict[str, dict[str, dict[str, Any]]]:
    """The configurations of all streams, by account key and name. Raises ServiceUnavailable if no server replies."""
    streams: dict[str, dict[str, dict[str, Any]]] = {}
    offset = 0
    while True:
        request = {
            "accounts": True,
            "streams": True,
            "config": True,
            "offset": offset,
            "limit": STREAMS_PAGE_SIZE,
        }
        pages = [
            msgspec.json.decode(reply, type=_JszReply).data.account_details
            for reply in await request_servers(system, "JSZ", msgspec.json.encode(request))
        ]
        for page in pages:
            for account in page:
                configs = streams.setdefault(account.id, {})
                configs.update({stream.name: stream.config for stream in account.stream_detail})
        if all(len(page) < STREAMS_PAGE_SIZE for page in pages):
            return streams
        offset += STREAMS_PAGE_SIZE


async def list_servers(system: Nats) -> set[str]:
    """The ids of the servers that reply. Raises ServiceUnavailable if none does."""
    replies = await request_servers(system, STATISTICS, b"")
    return {msgspec.json.decode(reply, type=_ServerReply).server.id for reply in replies}


async def count_api_calls(system: Nats, account: str) -> int:
    """How many calls of JetStream's API an account has made, at all servers. Raises ServiceUnavailable."""
    request = msgspec.json.encode({"account": account})
    replies = [
        msgspec.json.decode(reply, type=_JszReply) for reply in await request_servers(system, "JSZ", request)
    ]
    return sum(detail.api.total for reply in replies for detail in reply.data.account_details)


async def list_operators(system: Nats) -> dict[str, list[str]]:
    """The operators' JWTs that each server has loaded, by server name. Raises ServiceUnavailable."""
    replies = [
        msgspec.json.decode(reply, type=_VarzReply) for reply in await request_servers(system, "VARZ", b"{}")
    ]
    return {reply.server.name: reply.data.trusted_operators_jwt for reply in replies}
