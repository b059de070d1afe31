"""How a client proves over WebSocket that it holds its key."""

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
_AUTH = msgspec.json.Decoder(frames.Auth)


async def authenticate(
    socket: WebSocket[Any, Any, Any],
    connection: Socket,
    client_id: str,
    gateway: Gateway,
    caller: CallerContext,
) -> ClientIdentity:
    """The client, by a stored nonce in the URL or by a challenge made for this connection.

    AuthenticationFailed for a wrong proof, Gone for none in time.
    """
    query = socket.query_params
    if "nonce" in query or "signature" in query:
        return await _ask(
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
        gateway.settings.handshake_timeout_s, connection.receive_frame(_AUTH)
    )
    return await _ask(
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


async def _ask(gateway: Gateway, proof: AuthenticateClient, caller: CallerContext) -> ClientIdentity:
    async with gateway.handshake_limiter.place():
        return await gateway.bus.call(proof, caller=caller)
