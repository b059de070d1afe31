"""Channels, and publishing to them."""

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
from artcafe_gateway.bridges.connection import encode_headers
from artcafe_gateway.errors import (
    BrokerUnavailable,
    HistoryUnavailable,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.reader import MESSAGE_ID_HEADER, HistoryPage, HistoryQuery
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.publish_body import parse_publish_body
from artcafe_gateway.http.request import MAX_BODY, BodyTooLarge, body, query, validate_id
from artcafe_gateway.wire.headers import BadHeaders

PUBLISH_ERRORS = [
    BadHeaders,
    BodyTooLarge,
    BrokerUnavailable,
    InvalidRequest,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
]
HISTORY_ERRORS = [BrokerUnavailable, HistoryUnavailable, InvalidCursor]


class AnyMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Any JSON; an object with `data`, and at most `headers` besides, gives headers, too."""

    data: Any
    headers: dict[str, str] = {}


class MessageAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The broker has the message; `seq` is its place in the history, where one is kept."""

    message_id: str
    subject: str
    timestamp: datetime
    seq: int | UnsetType = UNSET


class ChannelsController(Controller):
    """A channel's messages travel on its `subject`, whoever publishes them in whatever way."""

    path = "/channels"
    tags = ["channels"]

    @get("/", summary="The organization's channels", does=[ListChannels])
    async def list_channels(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Channels:
        return await gateway.bus.call(query(request, ListChannels), caller=member.caller)

    @post("/", summary="Open a channel", does=[CreateChannel])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Channel:
        return await gateway.bus.call(await body(request, CreateChannel), caller=member.caller)

    @get("/{channel_id:str}", summary="One channel", does=[GetChannel])
    async def get_channel(
        self,
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Channel:
        return await gateway.bus.call(GetChannel(channel_id=validate_id(channel_id)), caller=member.caller)

    @put("/{channel_id:str}", summary="Change a channel", does=[UpdateChannel])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Channel:
        command = await body(request, UpdateChannel, channel_id=validate_id(channel_id))
        return await gateway.bus.call(command, caller=member.caller)

    @delete("/{channel_id:str}", status_code=200, summary="Close a channel", does=[DeleteChannel])
    async def delete_channel(
        self,
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Channel:
        return await gateway.bus.call(DeleteChannel(channel_id=validate_id(channel_id)), caller=member.caller)

    @get(
        "/{channel_id:str}/subscribers",
        summary="Who listens to a channel",
        does=[ListChannelSubscribers],
        given=["live"],
    )
    async def subscribers(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> ChannelSubscribers:
        channel = await gateway.lookup_cache.channel(validate_id(channel_id), member.caller)
        command = query(request, ListChannelSubscribers, channel_id=channel.channel_id, live={})
        live = await gateway.channel_subscribers.list_all(member.caller.tenant_id, channel.channel_id)
        command = msgspec.structs.replace(command, live=live)
        return await gateway.bus.call(command, caller=member.caller)

    @post(
        "/{channel_id:str}/messages",
        status_code=202,
        summary="Publish to a channel",
        does=[GetChannel],
        takes=AnyMessage,
        refuses=PUBLISH_ERRORS,
    )
    async def publish(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> MessageAccepted:
        member.require_writer()
        channel = await gateway.lookup_cache.channel(validate_id(channel_id), member.caller)
        raw = await request.body()
        if len(raw) > MAX_BODY:
            raise BodyTooLarge
        payload, headers = parse_publish_body(raw)
        accepted = MessageAccepted(message_id=new_id(), subject=channel.subject, timestamp=now())
        bridge = await gateway.bridges.acquire(member.caller.tenant_id)
        try:
            seq = await gateway.history.publish(
                bridge,
                channel.subject,
                payload,
                encode_headers({**headers, MESSAGE_ID_HEADER: accepted.message_id}),
                channel_id=channel.channel_id,
            )
        finally:
            gateway.bridges.release(bridge)
        return accepted if seq is None else msgspec.structs.replace(accepted, seq=seq)

    @get(
        "/{channel_id:str}/messages",
        summary="What a channel kept of its messages",
        does=[GetChannel],
        takes=HistoryQuery,
        gives=HistoryPage,
        refuses=HISTORY_ERRORS,
    )
    async def messages(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Response[bytes]:
        channel = await gateway.lookup_cache.channel(validate_id(channel_id), member.caller)
        wanted = query(request, HistoryQuery)
        bridge = await gateway.bridges.acquire(member.caller.tenant_id)
        try:
            page = await gateway.history.read_page(bridge, channel.channel_id, channel.subject, wanted)
        finally:
            gateway.bridges.release(bridge)
        return Response(msgspec.json.encode(page), media_type="application/json")
