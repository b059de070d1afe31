"""REST routes: channels, their messages and their history."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Response, delete, get, post, put
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, UnsetType

from artcafe_common.bus.errors import InvalidCursor, InvalidRequest
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.tenancy.channels import (
    Channel,
    Channels,
    ChannelSubscribers,
    CreateChannel,
    DeleteChannel,
    GetChannel,
    ListChannels,
    ListChannelSubscribers,
    UpdateChannel,
)
from artcafe_gateway.delivery.message import MESSAGE_ID_HEADER, UNIQUE_ID_HEADER
from artcafe_gateway.errors import (
    BrokerUnavailable,
    HistoryUnavailable,
    PayloadTooLarge,
    PublishUncertain,
    QuotaExceeded,
    RateLimited,
    StreamUnavailable,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.reader import HistoryPage, HistoryQuery, StoredMessages
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.conditional import if_match
from artcafe_gateway.http.publish_body import parse_publish_body
from artcafe_gateway.http.request import MAX_BODY, BodyTooLarge, read_body, read_query, validate_id
from artcafe_gateway.wire.frames import MessageId
from artcafe_gateway.wire.headers import BadHeaders

PUBLISH_ERRORS = [
    BadHeaders,
    BodyTooLarge,
    BrokerUnavailable,
    InvalidRequest,
    PayloadTooLarge,
    PublishUncertain,
    QuotaExceeded,
    RateLimited,
    StreamUnavailable,
]
HISTORY_ERRORS = [BrokerUnavailable, HistoryUnavailable, InvalidCursor]


class AnyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Any JSON value. An object with only `data`, `headers` and `message_id` sets the message and these.

    A message that is published again with the same `message_id` is stored and delivered once; `Idempotency-Key`
    does the same.
    """

    data: Any
    headers: dict[str, str] = {}
    message_id: MessageId | UnsetType = UNSET


# A body of any other form is the message itself.
_OTHER_MESSAGE = {
    "not": {
        "type": "object",
        "properties": {name: {} for name in AnyMessage.__struct_fields__},
        "required": ["data"],
        "additionalProperties": False,
    }
}


class MessageAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The broker received the message. `seq` is its sequence number in the history, if history is stored.

    `duplicate` is true if a message with the same `message_id` was stored before.
    """

    message_id: str
    subject: str
    timestamp: datetime
    seq: int | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET


class ChannelsController(Controller):
    """Named channels. All messages of a channel, over REST, WebSocket or NATS, use its `subject`."""

    path = "/channels"
    tags = ["channels"]

    @get("/", summary="List the organization's channels", commands=[ListChannels])
    async def list_channels(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Channels:
        return await gateway.bus.call(read_query(request, ListChannels), caller=tenant_user.caller)

    @post("/", summary="Create a channel", commands=[CreateChannel])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Channel:
        return await gateway.bus.call(await read_body(request, CreateChannel), caller=tenant_user.caller)

    @get("/{channel_id:str}", summary="Get a channel", commands=[GetChannel])
    async def get_channel(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Channel:
        return await gateway.bus.call(
            GetChannel(channel_id=validate_id(channel_id)), caller=tenant_user.caller
        )

    @put("/{channel_id:str}", summary="Update a channel", commands=[UpdateChannel])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Channel:
        command = await read_body(
            request, UpdateChannel, channel_id=validate_id(channel_id), if_match=if_match(request)
        )
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @delete("/{channel_id:str}", status_code=200, summary="Delete a channel", commands=[DeleteChannel])
    async def delete_channel(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Channel:
        return await gateway.bus.call(
            DeleteChannel(channel_id=validate_id(channel_id), if_match=if_match(request)),
            caller=tenant_user.caller,
        )

    @get(
        "/{channel_id:str}/subscribers",
        summary="List a channel's subscribers",
        commands=[ListChannelSubscribers],
        server_fields=["live"],
    )
    async def subscribers(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> ChannelSubscribers:
        channel = await gateway.lookup_cache.channel(validate_id(channel_id), tenant_user.caller)
        command = read_query(request, ListChannelSubscribers, channel_id=channel.channel_id, live={})
        live = await gateway.channel_subscribers.list_all(tenant_user.caller.tenant_id, channel.channel_id)
        command = msgspec.structs.replace(command, live=live)
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @post(
        "/{channel_id:str}/messages",
        status_code=202,
        summary="Publish a message to a channel",
        commands=[GetChannel],
        request_type=AnyMessage,
        other_request_schema=_OTHER_MESSAGE,
        errors=PUBLISH_ERRORS,
    )
    async def publish(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> MessageAccepted:
        tenant_user.require_writer()
        channel = await gateway.lookup_cache.channel(validate_id(channel_id), tenant_user.caller)
        raw = await request.body()
        if len(raw) > MAX_BODY:
            raise BodyTooLarge
        payload, headers, message_id = parse_publish_body(raw)
        repeatable_id = message_id or request.headers.get("Idempotency-Key")
        accepted = MessageAccepted(
            message_id=message_id or new_id(), subject=channel.subject, timestamp=now()
        )
        headers = {**headers, MESSAGE_ID_HEADER: accepted.message_id}
        bridge = await gateway.bridges.acquire(tenant_user.caller.tenant_id)
        try:
            if repeatable_id is not None:
                headers[UNIQUE_ID_HEADER] = bridge.signer.unique_id(
                    tenant_user.caller.actor, channel.subject, repeatable_id
                )
            ack = await gateway.history.publish(bridge, channel, payload, headers)
        finally:
            gateway.bridges.release(bridge)
        if ack is None:
            return accepted
        return msgspec.structs.replace(accepted, seq=ack.seq, duplicate=ack.duplicate or UNSET)

    @get(
        "/{channel_id:str}/messages",
        summary="List a channel's stored messages",
        commands=[GetChannel],
        request_type=HistoryQuery,
        response_type=HistoryPage,
        errors=HISTORY_ERRORS,
    )
    async def messages(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Response[bytes]:
        channel = await gateway.lookup_cache.channel(validate_id(channel_id), tenant_user.caller)
        stored_in = StoredMessages(
            name=channel.channel_id, subject=channel.subject, channel_id=channel.channel_id
        )
        return await read_messages(request, gateway, tenant_user, stored_in)


async def read_messages(
    request: Request[Any, Any, Any],
    gateway: Gateway,
    tenant_user: TenantUser,
    stored_in: StoredMessages,
) -> Response[bytes]:
    """A page of stored messages of the caller's organization; HistoryQuery says where it starts."""
    history = read_query(request, HistoryQuery)
    bridge = await gateway.bridges.acquire(tenant_user.caller.tenant_id)
    try:
        page = await gateway.history.read_page(bridge, stored_in, history)
    finally:
        gateway.bridges.release(bridge)
    return Response(msgspec.json.encode(page), media_type="application/json")
