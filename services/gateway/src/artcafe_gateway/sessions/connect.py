"""Connects a client or an agent: its WebSocket is accepted, authenticated, limited and registered."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

from litestar import WebSocket

from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import AuthenticationFailed, ClientIdentity
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.request import caller_of, client_ip, user_agent
from artcafe_gateway.sessions import handshake
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.wire.socket import (
    CLOSE_RESTART,
    CLOSE_REVOKED,
    CLOSE_TRY_LATER,
    CLOSE_UNAUTHENTICATED,
    PeerDisconnected,
    Socket,
    accept,
)

Authenticate = Callable[
    [WebSocket[Any, Any, Any], Socket, str, Gateway, CallerContext], Coroutine[Any, Any, ClientIdentity]
]


async def serve(
    socket: WebSocket[Any, Any, Any],
    client_id: str,
    gateway: Gateway,
    *,
    authenticate: Authenticate = handshake.authenticate,
    session_type: type[ClientSession] = ClientSession,
) -> None:
    """Run one client's socket until it ends."""
    caller = caller_of(socket)
    set_caller(caller)
    connection = await accept(socket, gateway.settings.send_queue_bytes)
    if not gateway.sessions.accepting:
        connection.close(CLOSE_RESTART, "restarting")
        return
    authenticated_at = time.monotonic()
    try:
        identity = await authenticate(socket, connection, client_id, gateway, caller)
        bridge = await gateway.bridges.acquire(identity.tenant_id)
    except PeerDisconnected:
        connection.close(CLOSE_UNAUTHENTICATED, "authentication_timeout")
        return
    except AuthenticationFailed as error:
        connection.send_error(error)
        connection.close(CLOSE_UNAUTHENTICATED, error.code)
        return
    except CommandError as error:
        connection.send_error(error)
        connection.close(CLOSE_TRY_LATER, error.code)
        return
    session = session_type(connection, identity, bridge, gateway, caller)
    try:
        await gateway.connection_limit.reserve(identity.tenant_id, connection.connection_id)
        if gateway.sessions.add(session, authenticated_at=authenticated_at):
            await session.run(ip=client_ip(socket), agent=user_agent(socket))
        else:
            connection.close(CLOSE_REVOKED, "revoked")
    except PlanLimitReached as error:
        connection.send_error(error)
        connection.close(CLOSE_TRY_LATER, error.code)
    finally:
        await session.end()
        gateway.bridges.release(bridge)
