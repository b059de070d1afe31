"""The tables of WebSocket frames, from the AsyncAPI document."""

from typing import Any

from docs.generate.declarations import asyncapi_document
from docs.generate.markdown import code, json_lines, sentence
from docs.generate.markdown import table as markdown_table

_SENT_BY_PEER, _SENT_BY_GATEWAY = "receive", "send"


def client_frames() -> str:
    """The frames of `/ws/client/{client_id}`."""
    return _endpoint("client")


def agent_frames() -> str:
    """The frames of `/ws/agent/{agent_id}` that differ from a client's."""
    return _endpoint("agent", without="client")


def dashboard_frames() -> str:
    """The frames of `/ws/dashboard`."""
    return _endpoint("dashboard")


def _endpoint(name: str, without: str = "") -> str:
    document = asyncapi_document()
    known = document["channels"][without]["messages"].keys() if without else frozenset()
    parts = []
    for action, heading in ((_SENT_BY_PEER, "You send:"), (_SENT_BY_GATEWAY, "You receive:")):
        keys = [key for key in _messages_of(document, name, action) if key not in known]
        if keys:
            messages = [document["components"]["messages"][key] for key in keys]
            schemas = document["components"]["schemas"]
            rows = [_row(message, schemas) for message in messages]
            header = ("type", "required fields", "optional fields", "description")
            examples = [each["payload"] for message in messages for each in message["examples"]]
            parts += [heading, markdown_table(header, rows), json_lines(examples)]
    return "\n\n".join(parts)


def _messages_of(document: dict[str, Any], channel: str, action: str) -> list[str]:
    for operation in document["operations"].values():
        if operation["action"] == action and operation["channel"]["$ref"] == f"#/channels/{channel}":
            return [each["$ref"].rpartition("/")[2] for each in operation["messages"]]
    raise ValueError(f"no operation {action} on {channel}")


def _row(message: dict[str, Any], schemas: dict[str, Any]) -> tuple[str, ...]:
    schema = schemas[message["payload"]["$ref"].rpartition("/")[2]]
    fields = [name for name in schema["properties"] if name != "type"]
    required = [name for name in fields if name in schema.get("required", [])]
    optional = [name for name in fields if name not in required]
    return (
        code(message["name"]),
        ", ".join(map(code, required)),
        ", ".join(map(code, optional)),
        sentence(message["summary"]),
    )
