"""The session of a legacy agent's WebSocket, `/ws/agent/{agent_id}`."""

from typing import Any

from litestar import WebSocket

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import CommandError, Unauthenticated
from artcafe_common.contracts.identity.agents import AuthenticateAgent, AuthenticateAgentToken
from artcafe_common.contracts.identity.clients import AuthenticationFailed, ClientIdentity
from artcafe_common.contracts.presence import ClientKind
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.message import agent_message_frame
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import read_tenant_header
from artcafe_gateway.http.request import bearer_token
from artcafe_gateway.sessions import connect
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.sessions.dispatcher import handles_frame
from artcafe_gateway.sessions.names import AgentNameResolver
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.agent_frames import AgentPublish, AgentSubscribe, AgentUnsubscribe
from artcafe_gateway.wire.socket import Socket


async def serve(socket: WebSocket[Any, Any, Any], agent_id: str, gateway: Gateway) -> None:
    """Open one agent's socket, and handle its frames."""
    await connect.serve(socket, agent_id, gateway, authenticate=authenticate, session_type=AgentSession)


async def authenticate(
    socket: WebSocket[Any, Any, Any],
    _connection: Socket,
    agent_id: str,
    gateway: Gateway,
    caller: CallerContext,
) -> ClientIdentity:
    """The agent, by a signed challenge in the URL or by its bearer token; AuthenticationFailed."""
    query = socket.query_params
    tenant_id = query.get("tenant_id") or read_tenant_header(socket)
    if "challenge" in query or "signature" in query:
        return await gateway.bus.call(
            AuthenticateAgent(
                agent_id=agent_id,
                challenge=str(query.get("challenge", "")),
                signature=str(query.get("signature", "")),
                tenant_id=tenant_id,
            ),
            caller=caller,
        )
    try:
        token = bearer_token(socket)
    except Unauthenticated:
        raise AuthenticationFailed from None
    return await gateway.bus.call(
        AuthenticateAgentToken(agent_id=agent_id, token=token, tenant_id=tenant_id), caller=caller
    )


class AgentSession(ClientSession):
    """An authenticated agent's socket: its frames are normalized to those of a client."""

    kind = ClientKind.AGENT
    subprotocols = ()

    def __init__(
        self,
        socket: Socket,
        identity: ClientIdentity,
        bridge: Bridge,
        gateway: Gateway,
        caller: CallerContext,
    ) -> None:
        self._agent_names = AgentNameResolver(identity, gateway.lookup_cache, gateway.bus)
        super().__init__(socket, identity, bridge, gateway, caller, self._agent_names)

    def handle_fast_path(self, data: bytes) -> bool:
        # `agents.<id>` may require a look-up, which only the session's task can await.
        return b'"agents.' not in data and super().handle_fast_path(data)

    def _decode(self, data: bytes) -> Any:
        received = self.decoder.decode(data)
        return received.normalize() if type(received) is AgentPublish else received

    @handles_frame(AgentSubscribe)
    async def handle_agent_subscribe(self, received: AgentSubscribe) -> None:
        """Subscribe to one or several subjects; a refused one does not stop the others."""
        if received.subjects is not None:
            self._subscriptions.render_as("agent_message", agent_message_frame)
        for subscribe in received.normalize():
            try:
                await self._agent_names.learn_agent(subscribe.subject or subscribe.channel)
                await self.handle_subscribe(subscribe)
            except CommandError as error:
                self.socket.reject(error, subscribe)

    @handles_frame(AgentUnsubscribe)
    async def handle_agent_unsubscribe(self, received: AgentUnsubscribe) -> None:
        """End one or several subscriptions."""
        for unsubscribe in received.normalize():
            await self._agent_names.learn_agent(unsubscribe.subject or unsubscribe.channel)
            await self.handle_unsubscribe(unsubscribe)

    @handles_frame(AgentPublish)
    async def handle_agent_publish(self, received: AgentPublish) -> None:
        """Publish a message."""
        publish = received.normalize()
        await self._agent_names.learn_agent(publish.subject or publish.channel)
        await self.handle_publish(publish)

    @handles_frame(frames.Request)
    async def handle_request(self, received: frames.Request) -> None:
        await self._agent_names.learn_agent(received.subject)
        await super().handle_request(received)
