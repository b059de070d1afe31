"""Connects a client or an agent: its WebSocket is accepted, authenticated, limited and registered."""

import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from litestar import WebSocket

from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import CommandError, InternalError
from artcafe_common.contracts.identity.clients import ACCOUNT_BLOCKED, AuthenticationFailed, ClientIdentity
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.problems import reject_handshake
from artcafe_gateway.http.request import caller_of, client_ip
from artcafe_gateway.limits.unauthenticated_sockets import TooManySockets
from artcafe_gateway.sessions import handshake
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.wire.frame_loop import serve_frames
from artcafe_gateway.wire.socket import (
    CLOSE_RESTART,
    CLOSE_REVOKED,
    CLOSE_TRY_LATER,
    CLOSE_UNAUTHENTICATED,
    PeerDisconnected,
    Socket,
    accept,
)

log = structlog.get_logger()
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
    """Open one client's socket, and handle its frames."""
    caller = caller_of(socket)
    set_caller(caller)
    try:
        with gateway.unauthenticated_sockets.admit(client_ip(socket)):
            offered = socket.scope["subprotocols"]
            subprotocol = next((each for each in session_type.subprotocols if each in offered), None)
            connection = await accept(socket, gateway.settings.send_queue_bytes, subprotocol)
            authenticated_at = time.monotonic()
            opened = await _open(
                connection,
                gateway,
                partial(authenticate, socket, connection, client_id, gateway, caller),
                socket.scope["path"],
            )
    except TooManySockets as error:
        await reject_handshake(socket, error)
        return
    if opened is None:
        return
    identity, bridge = opened
    session = session_type(connection, identity, bridge, gateway, caller)

    async def end() -> None:
        try:
            await session.end()
        finally:
            gateway.bridges.release(bridge)

    try:
        await gateway.connection_limit.reserve(identity.tenant_id, connection.connection_id)
        if gateway.sessions.add(session, authenticated_at=authenticated_at):
            session.begin(ip=client_ip(socket))
        else:
            connection.close(CLOSE_REVOKED, "revoked")
    except PlanLimitReached as error:
        connection.send_error(error)
        connection.close(CLOSE_TRY_LATER, error.code)
    except BaseException:
        await end()
        raise
    await serve_frames(connection, session.decoder, session.dispatch, end)


async def _open(
    connection: Socket,
    gateway: Gateway,
    authenticate: Callable[[], Coroutine[Any, Any, ClientIdentity]],
    path: str,
) -> tuple[ClientIdentity, Bridge] | None:
    """The client and its tenant's bridge; None after closing the socket."""
    if not gateway.sessions.accepting:
        connection.close(CLOSE_RESTART, "restarting")
        return None
    try:
        identity = await authenticate()
        return identity, await gateway.bridges.acquire(identity.tenant_id)
    except PeerDisconnected:
        connection.close(CLOSE_UNAUTHENTICATED, "authentication_timeout")
    except AuthenticationFailed as error:
        connection.send_error(error)
        connection.close(CLOSE_UNAUTHENTICATED, error.code)
    except ACCOUNT_BLOCKED as error:
        connection.send_error(error)
        connection.close(CLOSE_REVOKED, error.code)
    except CommandError as error:
        connection.send_error(error)
        connection.close(CLOSE_TRY_LATER, error.code)
    except Exception:
        log.exception("socket_not_opened", path=path)
        connection.send_error(InternalError())
        connection.close(CLOSE_TRY_LATER, InternalError.code)
    return None
