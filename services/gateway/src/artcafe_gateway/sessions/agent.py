"""`/ws/agent/{agent_id}`: a client's socket in the manner of the published SDK's agents."""

from typing import Any

import msgspec
from litestar import WebSocket

from artcafe_common.broker.subjects import (
    ULID_PATTERN,
    ForbiddenSubject,
    ResolvedSubject,
    SubjectForm,
    resolve,
    validate,
)
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import CommandError, Unauthenticated
from artcafe_common.contracts.identity.agents import AuthenticateAgent, AuthenticateAgentToken
from artcafe_common.contracts.identity.clients import AuthenticationFailed, ClientIdentity
from artcafe_common.contracts.presence import ClientKind
from artcafe_common.contracts.tenancy.agents import AgentNotFound, GetAgent
from artcafe_gateway.delivery.message import agent_message_frame
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.request import bearer
from artcafe_gateway.sessions import client
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.agent_frames import (
    AgentFrame,
    AgentPublish,
    AgentSubscribe,
    AgentUnsubscribe,
    unsubscriptions,
)
from artcafe_gateway.wire.socket import Socket

AGENTS = "agents"
MAX_PEERS = 1000


async def serve(socket: WebSocket[Any, Any, Any], agent_id: str, gateway: Gateway) -> None:
    """Run one agent's socket until it ends."""
    await client.serve(socket, agent_id, gateway, prove=authenticate, session=AgentSession)


async def authenticate(
    socket: WebSocket[Any, Any, Any],
    _connection: Socket,
    agent_id: str,
    gateway: Gateway,
    caller: CallerContext,
) -> ClientIdentity:
    """The agent, by a signed challenge in the URL or by its token; AuthenticationFailed for neither."""
    query = socket.query_params
    tenant_id = query.get("tenant_id") or socket.headers.get("x-tenant-id") or None
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
        token = bearer(socket)
    except Unauthenticated:
        raise AuthenticationFailed from None
    return await gateway.bus.call(
        AuthenticateAgentToken(agent_id=agent_id, token=token, tenant_id=tenant_id), caller=caller
    )


class AgentSession(ClientSession):
    """An authenticated agent's socket: its frames are brought into the form of a client's.

    `channel` is another word for subject here, unless it is a channel's id.
    """

    kind = ClientKind.AGENT
    decoder = msgspec.json.Decoder(AgentFrame)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # Who stands behind `agents.`: whether it is an agent of this tenant.
        self._peers = {self._identity.client_id: True}

    def plain(self, received: Any) -> Any:
        return received.plain() if type(received) is AgentPublish else received

    def handle_fast_path(self, data: bytes) -> bool:
        # Who is behind a name may have to be asked for; the task does that.
        return b'"agents.' not in data and super().handle_fast_path(data)

    async def _answer(self, received: Any) -> None:
        match received:
            case AgentUnsubscribe():
                for each in unsubscriptions(received):
                    await self._meet(each.subject or each.channel)
                    await super()._answer(each)
            case AgentSubscribe():
                if received.subjects is not None:
                    self._subscriptions.render_as("agent_message", agent_message_frame)
                await self._subscribe_each(received.each())
            case AgentPublish():
                plain = received.plain()
                await self._meet(plain.subject or plain.channel)
                await super()._answer(plain)
            case _:
                if isinstance(received, frames.Request):
                    await self._meet(received.subject)
                await super()._answer(received)

    async def _subscribe_each(self, wanted: list[frames.Subscribe]) -> None:
        for each in wanted:
            try:
                await self._meet(each.subject or each.channel)
                await super()._answer(each)
            except CommandError as error:
                # One of many does not keep the others from being heard.
                self.socket.reject(error, each)

    # -- names ---------------------------------------------------------------------------------

    def _name(self, subject: str | None, channel: str | None, *, wildcards: bool) -> ResolvedSubject:
        if subject is None and channel is not None and not ULID_PATTERN.match(channel):
            subject, channel = channel, None
        try:
            return super()._name(subject, channel, wildcards=wildcards)
        except ForbiddenSubject:
            peer = _peer(subject)
            if subject is None or peer is None or not self._peers.get(peer):
                raise
            name = resolve(self.tenant_id, f"{self.tenant_id}.{subject}", wildcards=wildcards)
            return msgspec.structs.replace(name, original=subject, form=SubjectForm.BARE)

    async def _meet(self, subject: str | None) -> None:
        """Learn whether `agents.<id>.…` names an agent of this tenant: then it is a name like any other."""
        peer = _peer(subject)
        if peer is None or peer in self._peers or peer == self.tenant_id:
            return
        if len(self._peers) >= MAX_PEERS:
            self._peers = {self._identity.client_id: True}
        caller = msgspec.structs.replace(CallerContext.service("gateway"), tenant_id=self.tenant_id)
        try:
            await self._gateway.bus.call(GetAgent(agent_id=peer), caller=caller)
        except AgentNotFound:
            self._peers[peer] = False
        else:
            self._peers[peer] = True


def _peer(subject: str | None) -> str | None:
    """The id behind `agents.` in a well-formed subject, if there is one; BadSubject for a malformed one."""
    if not subject or not subject.startswith(f"{AGENTS}."):
        return None
    second = validate(subject, wildcards=True)[1]
    return second if ULID_PATTERN.match(second) else None
