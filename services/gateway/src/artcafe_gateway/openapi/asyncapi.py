"""The AsyncAPI 3 document of the WebSocket protocols and the NATS subjects, generated from their types.

Directions are those of the platform: it receives what clients send.
"""

from typing import Any, NamedTuple

import msgspec

from artcafe_common import __version__
from artcafe_common.bus.errors import all_errors
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS, IngestKind, IngestReport
from artcafe_common.contracts.presence import PresenceUpdate
from artcafe_gateway.openapi.examples import build_example
from artcafe_gateway.sessions.agent import AgentSession
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.sessions.dashboard import DashboardSession
from artcafe_gateway.wire import agent_frames, frames
from artcafe_gateway.wire.socket import WEBSOCKET_CLOSE_CODES
from artcafe_gateway.wire.text_frames import BATCH_PROTOCOL

_REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_AGENT_FRAMES = (
    *(frame for frame in AgentSession.received_frames if frame not in ClientSession.received_frames),
    agent_frames.AgentMessage,
)
# The keys of frames with the same tag as a frame in the other direction.
_KEYS = {frames.PresenceChange: "dashboard_presence", frames.RosterPage: "roster_page"}
_SERVER_FRAMES = [
    frame
    for module in (frames, agent_frames)
    for frame in vars(module).values()
    if isinstance(frame, type) and issubclass(frame, frames.ServerFrame) and frame is not frames.ServerFrame
]


def _sent_to(endpoint: str) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(frame for frame in _SERVER_FRAMES if endpoint in frame.sent_to))


class _Endpoint(NamedTuple):
    address: str
    summary: str
    received: tuple[Any, ...]
    sent: tuple[Any, ...]
    query_parameters: dict[str, str]
    subprotocols: dict[str, str] = {}


class _NatsSubject(NamedTuple):
    action: str
    address: str
    summary: str
    message: str


_ENDPOINTS = {
    "client": _Endpoint(
        "/ws/client/{client_id}",
        "A client's WebSocket; without `nonce` and `signature` it starts with a `challenge`",
        (frames.Auth, *ClientSession.received_frames),
        _sent_to("client"),
        {"nonce": "From POST /api/v1/auth/client/challenge", "signature": "The signature of the nonce"},
        {BATCH_PROTOCOL: "A frame contains one or more messages, each on a line of its own"},
    ),
    "agent": _Endpoint(
        "/ws/agent/{agent_id}",
        "A legacy agent's WebSocket: as a client's, with other fields in some frames",
        AgentSession.received_frames,
        _sent_to("agent"),
        {
            "challenge": "From POST /api/v1/auth/agent/challenge",
            "signature": "The signature of the challenge",
            "tenant_id": "The agent's organization",
        },
    ),
    "dashboard": _Endpoint(
        "/ws/dashboard",
        "A user's WebSocket",
        DashboardSession.received_frames,
        _sent_to("dashboard"),
        {"token": "The user's token", "tenant_id": "The organization to observe"},
    ),
}
_INGEST_SUMMARIES = {
    IngestKind.HEARTBEAT: "A client's heartbeat, in its short form",
    IngestKind.STATUS: "A client's heartbeat with status, metrics and metadata",
    IngestKind.PRESENCE: "That a client goes online or offline",
    IngestKind.METRICS: "Metrics measured by a client: displayed, never billed",
}
# The fields of a report that a message of each kind uses.
_INGEST_FIELDS = {
    IngestKind.HEARTBEAT: ("ts", "v"),
    IngestKind.STATUS: ("status", "metrics", "metadata"),
    IngestKind.PRESENCE: ("type", "metadata"),
    IngestKind.METRICS: ("metrics",),
}
_NATS_SUBJECTS = {
    **{
        f"nats_{kind.value}": _NatsSubject(
            "receive",
            subject.format(tenant_id="{tenant_id}").replace("*", "{client_id}"),
            _INGEST_SUMMARIES[kind],
            f"report_{kind.value}",
        )
        for kind, subject in LOCAL_SUBJECTS.items()
    },
    "nats_presence_updates": _NatsSubject(
        "send",
        "tenant.{tenant_id}.presence.{client_id}",
        "Clients that go online or offline",
        "presence_update",
    ),
    "nats_messages": _NatsSubject("receive", "{tenant_id}.{name}", "An organization's messages", "any"),
    "nats_channels": _NatsSubject(
        "receive",
        "tenant.{tenant_id}.channel.{channel_id}",
        "A channel's messages, from and to any transport",
        "any",
    ),
}


def build_asyncapi() -> dict[str, Any]:
    """Generates the document."""
    frame_types = {
        frame: _message_key(frame)
        for endpoint in _ENDPOINTS.values()
        for frame in (*endpoint.received, *endpoint.sent)
    }
    schemas, components = msgspec.json.schema_components(
        [*frame_types, IngestReport, PresenceUpdate], ref_template=_REF
    )
    components["Error"]["properties"]["code"]["enum"] = sorted({error.code for error in all_errors()})
    channels, operations = {}, {}
    for name, endpoint in _ENDPOINTS.items():
        channels[name] = _websocket_channel(endpoint)
        operations[f"receive_from_{name}"] = _operation(
            "receive", name, endpoint.received, "Frames that the peer may send"
        )
        operations[f"send_to_{name}"] = _operation(
            "send", name, endpoint.sent, "Frames that the peer receives"
        )
    for name, nats_subject in _NATS_SUBJECTS.items():
        channels[name] = _nats_channel(nats_subject)
        operations[name] = _nats_operation(name, nats_subject)
    messages = {
        key: _message(frame, schema)
        for (frame, key), schema in zip(frame_types.items(), schemas, strict=False)
    }
    for kind in LOCAL_SUBJECTS:
        messages[f"report_{kind.value}"] = _report_message(kind, schemas[-2])
    messages["presence_update"] = _message(PresenceUpdate, schemas[-1])
    messages["any"] = {"name": "any", "title": "any", "summary": "Any bytes", "payload": {}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ArtCafe PubSub",
            "version": __version__,
            "description": "Publish/subscribe for fleets of AI agents, over WebSocket and NATS.",
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


def _message_key(frame: Any) -> str:
    tag = str(msgspec.inspect.type_info(frame).tag)  # type: ignore[attr-defined] # a Struct's
    if frame in _AGENT_FRAMES:
        return f"agent_{tag}"
    return _KEYS.get(frame, tag)


def _message(type_: Any, schema: dict[str, Any]) -> dict[str, Any]:
    name = type_.__struct_config__.tag or type_.__name__
    return {
        "name": name,
        "title": name,
        "summary": " ".join((type_.__doc__ or "").split()),
        "payload": schema,
        "examples": [{"name": "example", "payload": build_example(type_)}],
    }


def _report_message(kind: IngestKind, schema: dict[str, Any]) -> dict[str, Any]:
    report = build_example(IngestReport)
    payload = {name: report[name] for name in _INGEST_FIELDS[kind]}
    return {**_message(IngestReport, schema), "examples": [{"name": "example", "payload": payload}]}


def _websocket_channel(endpoint: _Endpoint) -> dict[str, Any]:
    keys = [_message_key(frame) for frame in (*endpoint.received, *endpoint.sent)]
    close_codes = {str(code): meaning for code, meaning in WEBSOCKET_CLOSE_CODES.items()}
    listed_codes = ", ".join(f"{code} ({meaning})" for code, meaning in close_codes.items())
    return {
        "address": endpoint.address,
        "summary": endpoint.summary,
        "description": f"Also available under /api/v1. Close codes: {listed_codes}.",
        "servers": [{"$ref": "#/servers/gateway"}],
        "parameters": _address_parameters(endpoint.address),
        "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in keys},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        name: {**_TEXT, "description": description}
                        for name, description in endpoint.query_parameters.items()
                    },
                },
            }
        },
        "x-close-codes": close_codes,
        **({"x-subprotocols": endpoint.subprotocols} if endpoint.subprotocols else {}),
    }


def _address_parameters(address: str) -> dict[str, Any]:
    names = [
        part.rstrip("}").rpartition("{")[2] for part in address.replace(".", "/").split("/") if "{" in part
    ]
    return {name: {"description": f"The {name.replace('_', ' ')}"} for name in names}


def _operation(action: str, channel: str, frame_types: tuple[Any, ...], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [
            {"$ref": f"#/channels/{channel}/messages/{_message_key(frame)}"} for frame in frame_types
        ],
    }


def _nats_channel(nats_subject: _NatsSubject) -> dict[str, Any]:
    return {
        "address": nats_subject.address,
        "summary": nats_subject.summary,
        "servers": [{"$ref": "#/servers/broker"}],
        "parameters": _address_parameters(nats_subject.address),
        "messages": {nats_subject.message: {"$ref": f"#/components/messages/{nats_subject.message}"}},
    }


def _nats_operation(name: str, nats_subject: _NatsSubject) -> dict[str, Any]:
    return {
        "action": nats_subject.action,
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": nats_subject.summary,
        "messages": [{"$ref": f"#/channels/{name}/messages/{nats_subject.message}"}],
    }
