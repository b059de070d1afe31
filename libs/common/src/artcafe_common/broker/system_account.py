"""What the broker tells over its system account: live connections, their counters, their ends."""

from datetime import datetime

import msgspec
import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.bus.errors import ServiceUnavailable

PAGE = 1024
GATHER_S = 0.3
KICK_TIMEOUT_S = 2
# The name of a connection in a tenant's account that carries nothing of the tenant's: what it does
# there is not the tenant's traffic. It counts only from the platform's own users.
PLATFORM_CONNECTION_NAME = "platform"
CONNECTED = "$SYS.ACCOUNT.*.CONNECT"
DISCONNECTED = "$SYS.ACCOUNT.*.DISCONNECT"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A nats-server: its name is stable, its id is new at each start."""

    id: str
    name: str


class BrokerConnection(msgspec.Struct, frozen=True, kw_only=True):
    """One connection as CONNZ lists it; `in_*` is what the client sent, `name_tag` the tenant id.

    `authorized_user` is the client id for clients that came through the callout, otherwise the
    user's public key.
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
    """The connection in a CONNECT or DISCONNECT event."""

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
    """Message and byte totals of a connection."""

    msgs: int = 0
    bytes: int = 0


class ConnectionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A CONNECT or DISCONNECT event; `sent` is what the client sent, only at the end."""

    server: Server
    client: EventClientInfo
    sent: Traffic = Traffic()
    received: Traffic = Traffic()
    reason: str = ""


class _Connz(msgspec.Struct, frozen=True, kw_only=True):
    total: int = 0
    connections: list[BrokerConnection] = []


class _ConnzAnswer(msgspec.Struct, frozen=True, kw_only=True):
    server: Server
    data: _Connz = _Connz()


class ServerConnections(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of one server."""

    server: Server
    connections: list[BrokerConnection]


async def list_connections(
    system: Nats, *, account: str | None = None, closed: bool = False
) -> list[ServerConnections]:
    """Every open connection (or the last closed ones) of every server, or of one account.

    ServiceUnavailable when no server answers.
    """
    listings: dict[str, ServerConnections] = {}
    offset = 0
    while True:
        question: dict[str, object] = {
            "auth": True,
            "limit": PAGE,
            "offset": offset,
            "state": 1 if closed else 0,
        }
        if account:
            question["acc"] = account
        answers = await _ask_all(system, msgspec.json.encode(question))
        more = False
        for answer in answers:
            known = listings.get(answer.server.id)
            connections = [*(known.connections if known else ()), *answer.data.connections]
            listings[answer.server.id] = ServerConnections(server=answer.server, connections=connections)
            more |= answer.data.total > offset + PAGE
        if not more:
            return list(listings.values())
        offset += PAGE


async def kick(system: Nats, server_id: str, cid: int) -> None:
    """End one connection now; nothing happens when it has ended already. ServiceUnavailable in silence.

    The server acts on requests only: one without a reply subject is ignored.
    """
    try:
        await system.request(
            f"$SYS.REQ.SERVER.{server_id}.KICK", msgspec.json.encode({"cid": cid}), timeout=KICK_TIMEOUT_S
        )
    except nats.errors.NoRespondersError:
        return  # that server is gone, and its connections with it
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise ServiceUnavailable("the broker does not answer") from error


async def _ask_all(system: Nats, question: bytes) -> list[_ConnzAnswer]:
    inbox = system.new_inbox()
    subscription = await system.subscribe(inbox)
    answers: list[_ConnzAnswer] = []
    try:
        await system.publish("$SYS.REQ.SERVER.PING.CONNZ", question, reply=inbox)
        wait = 2.0
        while True:
            message = await subscription.next_msg(timeout=wait)
            if not message.data:
                raise ServiceUnavailable("the broker's system account does not answer")
            answers.append(msgspec.json.decode(message.data, type=_ConnzAnswer))
            # One server answers at once; the others of a cluster within a moment of it.
            wait = GATHER_S if len(system.servers) + len(system.discovered_servers) > 1 else 0.02
    except (nats.errors.TimeoutError, TimeoutError):
        if not answers:
            raise ServiceUnavailable("the broker's system account does not answer") from None
        return answers
    except (nats.errors.Error, OSError) as error:
        raise ServiceUnavailable("the broker is not available") from error
    finally:
        if not system.is_closed:
            await subscription.unsubscribe()
