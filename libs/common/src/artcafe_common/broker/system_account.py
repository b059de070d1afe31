"""Monitoring and control through the broker's system account: lists of connections and streams, events, kicks."""

from datetime import datetime
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.bus.errors import ServiceUnavailable

PAGE_SIZE = 1024
STREAMS_PAGE_SIZE = 256
FIRST_REPLY_TIMEOUT_S = 2.0
# After a reply, how long to wait for the next server's: in a cluster, and from a single server.
CLUSTER_REPLY_WAIT_S = 0.3
SINGLE_REPLY_WAIT_S = 0.02
KICK_TIMEOUT_S = 2
# The name of the platform's administrative connections in a tenant's account. Their traffic is not counted; the name
# is only trusted on connections of the platform's own users.
PLATFORM_CONNECTION_NAME = "platform"
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


async def list_connections(
    system: Nats, *, account: str | None = None, closed: bool = False
) -> list[ServerConnections]:
    """The open connections to each server, or the recently closed ones; of one account, if given.

    Raises ServiceUnavailable if no server replies.
    """
    by_server: dict[str, ServerConnections] = {}
    offset = 0
    while True:
        request: dict[str, object] = {
            "auth": True,
            "limit": PAGE_SIZE,
            "offset": offset,
            "state": 1 if closed else 0,
        }
        if account:
            request["acc"] = account
        replies = [
            msgspec.json.decode(reply, type=_ConnzReply)
            for reply in await request_servers(system, "CONNZ", msgspec.json.encode(request))
        ]
        has_more = False
        for reply in replies:
            known = by_server.get(reply.server.id)
            connections = [*(known.connections if known else ()), *reply.data.connections]
            by_server[reply.server.id] = ServerConnections(server=reply.server, connections=connections)
            has_more |= reply.data.total > offset + PAGE_SIZE
        if not has_more:
            return list(by_server.values())
        offset += PAGE_SIZE


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
    replies = await request_servers(system, "STATSZ", b"")
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


async def request_servers(system: Nats, name: str, request: bytes) -> list[bytes]:
    """The replies of all servers to a monitoring request."""
    inbox = system.new_inbox()
    subscription = await system.subscribe(inbox)
    replies: list[bytes] = []
    try:
        await system.publish(f"$SYS.REQ.SERVER.PING.{name}", request, reply=inbox)
        wait = FIRST_REPLY_TIMEOUT_S
        while True:
            message = await subscription.next_msg(timeout=wait)
            if not message.data:
                raise ServiceUnavailable("the broker's system account does not reply")
            replies.append(message.data)
            clustered = len(system.servers) + len(system.discovered_servers) > 1
            wait = CLUSTER_REPLY_WAIT_S if clustered else SINGLE_REPLY_WAIT_S
    except (nats.errors.TimeoutError, TimeoutError):
        if not replies:
            raise ServiceUnavailable("the broker's system account does not reply") from None
        return replies
    except (nats.errors.Error, OSError) as error:
        raise ServiceUnavailable("the broker is not available") from error
    finally:
        if not system.is_closed:
            await subscription.unsubscribe()
