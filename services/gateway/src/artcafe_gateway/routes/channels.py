"""REST routes: channels, their messages and their history."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, delete, get, post, put
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.broker.subjects import ForbiddenSubject
from artcafe_common.bus.errors import FieldError, InvalidCursor, InvalidRequest
from artcafe_common.clock import new_id, now
from artcafe_common.concurrency import run_until_first
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
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
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
from artcafe_gateway.history.reader import (
    MAX_LAST,
    ChannelHistoryQuery,
    HistoryPage,
    HistoryQuery,
    StoredMessages,
)
from artcafe_gateway.history.tail import watch_channel
from artcafe_gateway.http.auth import TenantCaller, TenantUser, authenticate_again
from artcafe_gateway.http.conditional import if_match
from artcafe_gateway.http.disconnection import wait_for_disconnect
from artcafe_gateway.http.publish_body import parse_publish_body
from artcafe_gateway.http.request import (
    MAX_BODY,
    BodyTooLarge,
    read_body,
    read_query,
    receive_body,
    validate_id,
    waiting,
)
from artcafe_gateway.sessions.event_response import EventStreamResponse
from artcafe_gateway.sessions.event_stream import open_stream
from artcafe_gateway.sessions.names import name_of_channel
from artcafe_gateway.wire.events import MEDIA_TYPE
from artcafe_gateway.wire.frames import MessageId
from artcafe_gateway.wire.headers import BadHeaders

PUBLISH_ERRORS = [
    BadHeaders,
    ForbiddenSubject,
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
CHANNEL_HISTORY_ERRORS = [*HISTORY_ERRORS, ForbiddenSubject]


EVENTS_EXAMPLE = (
    'id: 41\nevent: subscribed\ndata: {"type":"subscribed","channel":"01JNB5Y0A1B2C3D4E5F6G7H8J9"}\n\n'
    'id: 42\ndata: {"type":"message","subject":"tenant.01JNB5W0K1M2N3P4Q5R6S7T8V9.channel.01JNB5Y0A1B2C3D4E5F6G7H8J9",'
    '"channel":"01JNB5Y0A1B2C3D4E5F6G7H8J9","data":{"n":1},"timestamp":"2026-03-01T12:00:00Z","seq":42}\n\n'
)
MAX_SEQ_DIGITS = 19


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


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Follow a channel: all messages `since` a time or a `seq`, or the `last` ones, and then new ones as they come.

    The id of an event is the `seq` of its message; a client that connects again sends it as `Last-Event-ID`, and
    continues after it, whatever the query says.
    """

    since: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    last: Annotated[int, Meta(ge=0, le=MAX_LAST)] | None = None


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
        tenant_caller: NamedDependency[TenantCaller],
        channel_id: FromPath[str],
    ) -> MessageAccepted:
        # Before the channel: who may not publish learns nothing of it.
        tenant_caller.require_publisher()
        channel = await _find_channel(gateway, channel_id, tenant_caller)
        tenant_caller.require_publish(channel.subject)
        raw = await receive_body(request)
        if len(raw) > MAX_BODY:
            raise BodyTooLarge
        payload, headers, message_id = parse_publish_body(raw)
        repeatable_id = message_id or request.headers.get("Idempotency-Key")
        accepted = MessageAccepted(
            message_id=message_id or new_id(), subject=channel.subject, timestamp=now()
        )
        headers = {**headers, MESSAGE_ID_HEADER: accepted.message_id}
        bridge = await gateway.bridges.acquire(tenant_caller.caller.tenant_id)
        try:
            if repeatable_id is not None:
                headers[UNIQUE_ID_HEADER] = bridge.signer.unique_id(
                    tenant_caller.publisher, channel.subject, repeatable_id
                )
            ack = await gateway.history.publish(bridge, channel, payload, headers, tenant_caller.client_id)
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
        errors=CHANNEL_HISTORY_ERRORS,
    )
    async def messages(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_caller: NamedDependency[TenantCaller],
        channel_id: FromPath[str],
    ) -> Response[bytes]:
        channel = await _find_channel(gateway, channel_id, tenant_caller)
        tenant_caller.require_subscribe(channel.subject)
        stored_in = StoredMessages(
            name=channel.channel_id, subject=channel.subject, channel_id=channel.channel_id
        )
        query = read_query(request, ChannelHistoryQuery)
        if not query.wait_s:
            return await read_messages(gateway, tenant_caller, stored_in, query)
        return await _poll_messages(request, gateway, tenant_caller, stored_in, query)

    @get(
        "/{channel_id:str}/events",
        summary="Follow a channel as server-sent events",
        commands=[GetChannel],
        request_type=EventsQuery,
        response_type=str,
        response_media_type=MEDIA_TYPE,
        response_example=EVENTS_EXAMPLE,
        errors=[*CHANNEL_HISTORY_ERRORS, PlanLimitReached],
    )
    async def events(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_caller: NamedDependency[TenantCaller],
        channel_id: FromPath[str],
    ) -> EventStreamResponse:
        channel = await _find_channel(gateway, channel_id, tenant_caller)
        tenant_caller.require_subscribe(channel.subject)
        query = read_query(request, EventsQuery)
        name = name_of_channel(channel)
        session = await open_stream(request, gateway, tenant_caller, name, _events_start(request, query))
        return EventStreamResponse(session)


def _events_start(request: Request[Any, Any, Any], query: EventsQuery) -> HistoryQuery:
    last_event_id = request.headers.get("Last-Event-ID", "")
    if not last_event_id:
        # Without a position: new messages.
        last = 0 if query.since is None else None
        return HistoryQuery(since=query.since, last=last if query.last is None else query.last)
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < MAX_SEQ_DIGITS):
        message = "Expected the id of an event of this channel"
        raise InvalidRequest(message, errors=(FieldError(field="Last-Event-ID", message=message),))
    return HistoryQuery(since=str(int(last_event_id) + 1))


async def _find_channel(gateway: Gateway, channel_id: str, tenant_caller: TenantCaller) -> Channel:
    return await gateway.lookup_cache.channel(validate_id(channel_id), tenant_caller.lookup_caller)


async def _poll_messages(
    request: Request[Any, Any, Any],
    gateway: Gateway,
    tenant_caller: TenantCaller,
    stored_in: StoredMessages,
    query: ChannelHistoryQuery,
) -> Response[bytes]:
    """As `read_messages`, and waits for a message where there is none."""
    bridge = await gateway.bridges.acquire(tenant_caller.caller.tenant_id)
    try:
        async with watch_channel(bridge, stored_in.subject) as stored:
            page = await gateway.history.read_page(bridge, stored_in, query)
            if page.messages:
                return _encode_page(page)
            with waiting(request.scope):
                await run_until_first(
                    stored.wait(),
                    gateway.sessions.stopping.wait(),
                    asyncio.sleep(query.wait_s),
                    wait_for_disconnect(request.receive),
                )
            # Access may have been revoked meanwhile.
            await authenticate_again(request, gateway)
            return _encode_page(await gateway.history.read_page(bridge, stored_in, query))
    finally:
        gateway.bridges.release(bridge)


async def read_messages(
    gateway: Gateway, tenant_caller: TenantCaller, stored_in: StoredMessages, query: HistoryQuery
) -> Response[bytes]:
    """A page of stored messages of the caller's organization."""
    bridge = await gateway.bridges.acquire(tenant_caller.caller.tenant_id)
    try:
        return _encode_page(await gateway.history.read_page(bridge, stored_in, query))
    finally:
        gateway.bridges.release(bridge)


def _encode_page(page: HistoryPage) -> Response[bytes]:
    return Response(msgspec.json.encode(page), media_type="application/json")
