"""Monitoring and control through the broker's system account: list connections, receive their events, end them."""

from datetime import datetime

import msgspec
import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.bus.errors import ServiceUnavailable

PAGE_SIZE = 1024
FIRST_REPLY_TIMEOUT_S = 2.0
# After a reply, how long to wait for the next server's: in a cluster, and from a single server.
CLUSTER_REPLY_WAIT_S = 0.3
SINGLE_REPLY_WAIT_S = 0.02
KICK_TIMEOUT_S = 2
# The name of the platform's administrative connections in a tenant's account. Their traffic is not counted; the name
# is only trusted on connections of the platform's own users.
PLATFORM_CONNECTION_NAME = "platform"
CONNECT_EVENTS = "$SYS.ACCOUNT.*.CONNECT"
DISCONNECT_EVENTS = "$SYS.ACCOUNT.*.DISCONNECT"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A nats-server. Its name is stable, its id changes with each start."""

    id: str
    name: str


class BrokerConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection in a CONNZ response; `in_*` counts what the client sent, `name_tag` is the tenant id.

    `authorized_user` is the client id if the auth callout issued the user, else the user's public key.
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


class _ConnzReply(msgspec.Struct, frozen=True, kw_only=True):
    server: Server
    data: _Connz = _Connz()


class ServerConnections(msgspec.Struct, frozen=True, kw_only=True):
    """The connections to one server."""

    server: Server
    connections: list[BrokerConnection]


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
        replies = await _request_connz(system, msgspec.json.encode(request))
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


async def _request_connz(system: Nats, request: bytes) -> list[_ConnzReply]:
    inbox = system.new_inbox()
    subscription = await system.subscribe(inbox)
    replies: list[_ConnzReply] = []
    try:
        await system.publish("$SYS.REQ.SERVER.PING.CONNZ", request, reply=inbox)
        wait = FIRST_REPLY_TIMEOUT_S
        while True:
            message = await subscription.next_msg(timeout=wait)
            if not message.data:
                raise ServiceUnavailable("the broker's system account does not reply")
            replies.append(msgspec.json.decode(message.data, type=_ConnzReply))
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
