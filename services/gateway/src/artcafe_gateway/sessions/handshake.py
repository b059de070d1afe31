"""Authenticates a client's WebSocket by a signature of its NKey."""

import secrets
from typing import Any

import msgspec
from litestar import WebSocket

from artcafe_common.bus.caller import CallerContext
from artcafe_common.contracts.identity.clients import AuthenticateClient, ClientIdentity
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.socket import Socket, receive_within

NONCE_BYTES = 32
_DECODER = msgspec.json.Decoder(frames.Auth)


async def authenticate(
    socket: WebSocket[Any, Any, Any],
    connection: Socket,
    client_id: str,
    gateway: Gateway,
    caller: CallerContext,
) -> ClientIdentity:
    """The client, by a signed challenge in the URL, or by a challenge that is sent on this connection.

    AuthenticationFailed for a wrong signature, PeerDisconnected without an answer in time.
    """
    query = socket.query_params
    if "nonce" in query or "signature" in query:
        return await _verify(
            gateway,
            AuthenticateClient(
                client_id=client_id,
                nonce=str(query.get("nonce", "")),
                signature=str(query.get("signature", "")),
                stored=True,
            ),
            caller,
        )
    nonce = secrets.token_urlsafe(NONCE_BYTES)
    connection.send(frames.Challenge(nonce=nonce))
    answer: frames.Auth = await receive_within(
        gateway.settings.handshake_timeout_s, connection.receive_frame(_DECODER)
    )
    return await _verify(
        gateway,
        AuthenticateClient(
            client_id=client_id,
            nkey=answer.nkey,
            nonce=nonce,
            signature=answer.signature,
            stored=False,
        ),
        caller,
    )


async def _verify(gateway: Gateway, command: AuthenticateClient, caller: CallerContext) -> ClientIdentity:
    async with gateway.handshake_limiter.slot():
        return await gateway.bus.call(command, caller=caller)
