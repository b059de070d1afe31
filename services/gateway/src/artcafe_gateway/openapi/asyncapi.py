"""The WebSocket protocols and the NATS subjects as an AsyncAPI 3 document, made of the types that are decoded.

It is told from the platform's side: what it receives, and what it sends.
"""

from typing import Any

import msgspec

from artcafe_common import __version__
from artcafe_common.bus.errors import all_errors
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS, ClientReport, IngestKind
from artcafe_common.contracts.presence import PresenceUpdate
from artcafe_gateway.openapi.examples import example
from artcafe_gateway.sessions.agent import AgentSession
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.sessions.dashboard import DashboardSession
from artcafe_gateway.wire import agent_frames, frames
from artcafe_gateway.wire.socket import WEBSOCKET_CLOSE_CODES

_REF = "#/components/schemas/{name}"
_AGENT_FRAMES = (
    *(kind for kind in AgentSession.received_frames if kind not in ClientSession.received_frames),
    agent_frames.AgentMessage,
)
_TO_CLIENTS = (
    frames.Welcome,
    frames.HeartbeatAck,
    frames.Pong,
    frames.Subscribed,
    frames.Unsubscribed,
    frames.Published,
    frames.Message,
    frames.Reply,
    frames.Error,
)
_TO_DASHBOARDS = (
    frames.Welcome,
    frames.Pong,
    frames.SubscriptionConfirmed,
    frames.UnsubscriptionConfirmed,
    frames.ChannelMessage,
    frames.TopicPreviewMessage,
    frames.PresenceChange,
    frames.ActivityEntry,
    frames.Error,
)
_TEXT = {"type": "string"}
_ENDPOINTS: dict[str, tuple[str, str, tuple[Any, ...], tuple[Any, ...], dict[str, str]]] = {
    "client": (
        "/ws/client/{client_id}",
        "A client's WebSocket; without `nonce` and `signature` it begins with a `challenge`",
        (frames.Auth, *ClientSession.received_frames),
        (frames.Challenge, *_TO_CLIENTS),
        {"nonce": "Of POST /api/v1/auth/client/challenge", "signature": "The nonce, signed"},
    ),
    "agent": (
        "/ws/agent/{agent_id}",
        "A legacy agent's WebSocket: a client's, with other words for some frames",
        AgentSession.received_frames,
        (*_TO_CLIENTS, agent_frames.AgentMessage),
        {
            "challenge": "Of POST /api/v1/auth/agent/challenge",
            "signature": "The challenge, signed",
            "tenant_id": "The agent's organization",
        },
    ),
    "dashboard": (
        "/ws/dashboard",
        "A person's WebSocket",
        DashboardSession.received_frames,
        _TO_DASHBOARDS,
        {"token": "A person's token", "tenant_id": "The organization to look at"},
    ),
}
_NATS: dict[str, tuple[str, str]] = {
    IngestKind.HEARTBEAT: ("A client's heartbeat, in its short form", "heartbeat"),
    IngestKind.STATUS: ("A client's heartbeat with status, metrics and metadata", "status"),
    IngestKind.PRESENCE: ("That a client comes or goes", "coming or going"),
    IngestKind.METRICS: ("A client's own figures: shown, never billed", "metrics"),
}


def build_asyncapi() -> dict[str, Any]:
    """The document."""
    kinds = {kind: _key(kind) for _, _, sent, told, _ in _ENDPOINTS.values() for kind in (*sent, *told)}
    schemas, components = msgspec.json.schema_components(
        [*kinds, ClientReport, PresenceUpdate], ref_template=_REF
    )
    components["Error"]["properties"]["code"]["enum"] = _codes()
    channels, operations = {}, {}
    for name, (address, summary, received, sent, query) in _ENDPOINTS.items():
        channels[name] = _websocket(address, summary, (*received, *sent), query)
        operations[f"{name}_says"] = _operation("receive", name, received, "What a peer may send")
        operations[f"{name}_hears"] = _operation("send", name, sent, "What a peer is sent")
    _add_nats(channels, operations)
    messages = {
        key: _message(kind, schema) for (kind, key), schema in zip(kinds.items(), schemas, strict=False)
    }
    messages["report"] = _message(ClientReport, schemas[-2])
    messages["presence_notice"] = _message(PresenceUpdate, schemas[-1])
    messages["any"] = {"name": "any", "title": "any", "summary": "Any bytes", "payload": {}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ArtCafe PubSub",
            "version": __version__,
            "description": "Publish/subscribe for fleets of AI agents, over WebSocket and straight over NATS.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {"host": "ws.example.com", "protocol": "wss"},
            "broker": {"host": "nats.example.com:4222", "protocol": "nats"},
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
    }


def _codes() -> list[str]:
    return sorted({error.code for error in all_errors()})


def _key(kind: Any) -> str:
    tag = str(msgspec.inspect.type_info(kind).tag)  # type: ignore[attr-defined] # a Struct's
    return f"agent_{tag}" if kind in _AGENT_FRAMES else f"shown_{tag}" if kind in _SHOWN else tag


# Bear the tag of something else that is sent the other way.
_SHOWN = (frames.PresenceChange,)


def _message(kind: Any, schema: dict[str, Any]) -> dict[str, Any]:
    name = kind.__struct_config__.tag or kind.__name__
    return {
        "name": name,
        "title": name,
        "summary": " ".join((kind.__doc__ or "").split()),
        "payload": schema,
        "examples": [{"name": "example", "payload": example(kind)}],
    }


def _websocket(address: str, summary: str, kinds: tuple[Any, ...], query: dict[str, str]) -> dict[str, Any]:
    return {
        "address": address,
        "summary": summary,
        "description": f"Also under /api/v1. It is closed with one of these codes: {_closes()}.",
        "servers": [{"$ref": "#/servers/gateway"}],
        "parameters": _address_parameters(address),
        "messages": {_key(kind): {"$ref": f"#/components/messages/{_key(kind)}"} for kind in kinds},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {name: {**_TEXT, "description": told} for name, told in query.items()},
                },
            }
        },
        "x-close-codes": {str(code): told for code, told in WEBSOCKET_CLOSE_CODES.items()},
    }


def _closes() -> str:
    return ", ".join(f"{code} ({told})" for code, told in WEBSOCKET_CLOSE_CODES.items())


def _address_parameters(address: str) -> dict[str, Any]:
    names = [
        part.rstrip("}").rpartition("{")[2] for part in address.replace(".", "/").split("/") if "{" in part
    ]
    return {name: {"description": f"The {name.replace('_', ' ')}"} for name in names}


def _operation(action: str, channel: str, kinds: tuple[Any, ...], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{_key(kind)}"} for kind in kinds],
    }


def _add_nats(channels: dict[str, Any], operations: dict[str, Any]) -> None:
    told = {
        f"nats_{kind.value}": (
            "receive",
            local.format(tenant_id="{tenant_id}").replace("*", "{client_id}"),
            _NATS[kind][0],
            "report",
        )
        for kind, local in LOCAL_SUBJECTS.items()
    }
    told["nats_presence_told"] = (
        "send",
        "tenant.{tenant_id}.presence.{client_id}",
        "Who came and went",
        "presence_notice",
    )
    told["nats_messages"] = ("receive", "{tenant_id}.{name}", "An organization's own messages", "any")
    told["nats_channels"] = (
        "receive",
        "tenant.{tenant_id}.channel.{channel_id}",
        "A channel's messages, from any transport to any other",
        "any",
    )
    for name, (action, address, summary, message) in told.items():
        channels[name] = {
            "address": address,
            "summary": summary,
            "servers": [{"$ref": "#/servers/broker"}],
            "parameters": _address_parameters(address),
            "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        }
        operations[name] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{name}/messages/{message}"}],
        }
