"""Examples for the API documents, built from types with one value per field name."""

from typing import Any

from msgspec import inspect

_TIME = "2026-03-01T12:00:00Z"
_USER_KEY = "UBTYGRZ2UBOB6MXBWPTQVTCAJ7YI37XWRZ3CB3TAQJUJQ4HQNCDOYRM6"
_SEED = "SUAMK2FG4MI6UE3ACF3FK3OIQBCEIEZV7NSWFFEW63UXMRLFM2XLAXK4GY"[:58]
ID = "01JNB5X8S2Z4T6V8X0A2C4E6G8"
OTHER_ID = "01JNB5Y0A1B2C3D4E5F6G7H8J9"
TENANT = "01JNB5W0K1M2N3P4Q5R6S7T8V9"
_VALUES: dict[str, Any] = {
    "account_id": TENANT,
    "tenant_id": TENANT,
    "client_id": ID,
    "agent_id": ID,
    "channel_id": OTHER_ID,
    "channel": OTHER_ID,
    "subject_id": OTHER_ID,
    "connection_id": OTHER_ID,
    "activity_id": OTHER_ID,
    "invitation_id": OTHER_ID,
    "invited_by": "user:7b1f2c34-0d5e-4a6b-8c7d-9e0f1a2b3c4d",
    "invited_by_name": "Ada",
    "account_name": "Acme",
    "link": f"/console/?invitation={OTHER_ID}",
    "message_id": OTHER_ID,
    "user_id": "7b1f2c34-0d5e-4a6b-8c7d-9e0f1a2b3c4d",
    "request_id": "4bf92f3577b34da6",
    "server_id": "gateway-1",
    "server": "gateway-1",
    "email": "ada@example.com",
    "password": "correct horse battery staple",
    "new_password": "incorrect horse battery staple",
    "name": "planner",
    "avatar_url": "https://example.com/ada.png",
    "description": "Plans the day",
    "metadata": {"zone": "b"},
    "metrics": {"load": 0.2},
    "traffic": {"messages_sent": 12, "bytes_sent": 4096},
    "limit": 50,
    "cursor": None,
    "next_cursor": None,
    "since": "2026-03-01T12:00:00Z",
    "last": 20,
    "seq": 42,
    "hours": 24,
    "nkey": _USER_KEY,
    "nkey_public": _USER_KEY,
    "nkey_seed": _SEED,
    "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgX8OpwT0ssasgxjoP4Huh07k2vJBoM4/SOoJd0miUm",
    "private_key": "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n",
    "fingerprint": "SHA256:4ZK2XWbSmRqbZ0b0m7iYt3mJdU0m5v2o0Qm3m3cQ2xk",
    "challenge": "ch_5r4gq0m1o8b2S0kZ3m9e7T1u6Y4w2X8v5B7n9C1d3F0",
    "nonce": "5r4gq0m1o8b2S0kZ3m9e7T1u6Y4w2X8v5B7n9C1d3F0",
    "signature": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ",
    "token": "eyJhbGciOiJFZERTQSJ9.…",
    "access_token": "eyJraWQiOiJrIn0.…",
    "id_token": "eyJraWQiOiJrIn0.…",
    "refresh_token": "eyJjdHkiOiJKV1QifQ.…",
    "expires_in": 3600,
    "token_type": "Bearer",
    "warning": "This seed is shown only once and is not stored: save it now.",
    "subject": "orders.new",
    "pattern": "orders.>",
    "subject_prefix": f"{TENANT}.",
    "inbox_prefix": f"_INBOX.{ID}",
    "stream": f"SUBJECT_{OTHER_ID}",
    "publish": ["orders.>"],
    "subscribe": [">"],
    "nats_url": "nats://nats.example.com:4222",
    "nats_ws_url": "wss://nats.example.com",
    "websocket_url": f"wss://ws.example.com/ws/client/{ID}",
    "language": "en",
    "timezone": "Europe/Berlin",
    "version": "0.1.0",
    "checks": {"dynamodb": "ok"},
    "ip": "192.0.2.7",
    "user_agent": "artcafe/0.1.0",
    "actor": "user:7b1f2c34-0d5e-4a6b-8c7d-9e0f1a2b3c4d",
    "action": "client.created",
    "resource": f"client:{ID}",
    "data": {"n": 1},
    "id": "a",
    "from": ID,
    "from_": ID,
    "timeout_ms": 2000,
    "sample": 0.1,
    "percent": 12.5,
    "codes": {"rate_limited": 2},
    "library": "go 1.40.0",
    "purged_seq": 7,
    "by_type": {"client": 2},
    "by_status": {"success": 2},
    "by_action": {"client.created": 2},
    "code": "forbidden_subject",
    "message": "The subject is not allowed",
    "retry_after_ms": 1000,
    "heartbeat_interval_s": 30,
    "protocol": 1,
    "subscription": "topic_preview",
    "capabilities": ["search"],
    "headers": {"Lang": "en"},
    "ts": 1772366400,
    "v": "1",
}
# Values of fields whose name has another meaning in their type.
_VALUES_BY_FIELD: dict[tuple[str, str], Any] = {
    ("Account", "name"): "Acme",
    ("CreateAccount", "name"): "Acme",
    ("UpdateAccount", "name"): "Acme",
    ("Organization", "name"): "Acme",
    ("Profile", "name"): "Ada",
    ("UpdateProfile", "name"): "Ada",
    ("Channel", "name"): "news",
    ("Channel", "subject"): f"tenant.{TENANT}.channel.{OTHER_ID}",
    ("MessageAccepted", "subject"): f"tenant.{TENANT}.channel.{OTHER_ID}",
    ("HistoryMessage", "subject"): f"tenant.{TENANT}.channel.{OTHER_ID}",
    ("CreateChannel", "name"): "news",
    ("UpdateChannel", "name"): "news",
    ("Permissions", "streams"): "read",
    ("PermissionsUpdate", "streams"): "read",
    ("PermissionExplanation", "why"): "The pattern `orders.>` in `publish` covers it.",
    ("AgentKey", "nkey_public"): _USER_KEY,
    ("AccountKey", "nkey_public"): "A" + _USER_KEY[1:],
    ("SigningKey", "nkey_public"): "A" + _USER_KEY[1:],
    ("SigningKey", "issued_by"): "7b1f2c34-0d5e-4a6b-8c7d-9e0f1a2b3c4d",
    ("AccountKey", "nkey_seed"): "SA" + _SEED[2:],
    ("Presence", "status"): "degraded",
    ("AgentMessage", "message"): {"payload": 1},
    ("AgentPublish", "message"): {"payload": 1},
    ("IngestReport", "type"): "connect",
    ("IngestReport", "status"): "healthy",
    ("Heartbeat", "status"): "healthy",
    ("Heartbeat", "timestamp"): _TIME,
    ("PresenceChange", "status"): "online",
    ("PresenceUpdate", "status"): "online",
    ("ListActivity", "actor"): "user:7b1f2c34-0d5e-4a6b-8c7d-9e0f1a2b3c4d",
    ("Refusals", "totals"): {"rate_limited": 2},
    ("RefusalCount", "code"): "rate_limited",
    ("SentError", "code"): "rate_limited",
    ("RankedUsage", "id"): ID,
    ("InspectedConnection", "subscriptions"): ["orders.>"],
    ("LoginRequest", "session"): "token",
    ("LoginRequest", "code"): "123456",
    ("NamedStatus", "name"): "tenancy",
    ("NamedStatus", "status"): "ok",
    ("PlatformStatus", "status"): "ok",
    ("PlatformStatus", "history"): "ok",
    ("SystemHealth", "status"): "ok",
    ("HealthReport", "status"): "ok",
    ("ProblemType", "type"): "/problems/client_not_found",
    ("ProblemType", "code"): "client_not_found",
    ("ProblemType", "status"): 404,
    ("ProblemType", "title"): "The client was not found",
    ("ProblemType", "cause"): "No client of the organization has this id.",
    ("ProblemType", "remedy"): "List the organization's clients to find the right id.",
    ("VerifyAgent", "tenant_id"): TENANT,
}
_VALUES_BY_TYPE: dict[type, Any] = {
    inspect.BoolType: True,
    inspect.DateTimeType: _TIME,
    inspect.DateType: _TIME[:10],
}
# Fields that conflict with others of their type.
_OMITTED_FIELDS = {
    ("Publish", "channel"),
    ("Unsubscribe", "channel"),
    ("Subscribe", "subject"),
    ("Subscribe", "last"),
    ("AgentPublish", "channel"),
    ("AgentPublish", "topic"),
    ("AgentPublish", "message"),
    ("AgentSubscribe", "subject"),
    ("AgentSubscribe", "subjects"),
    ("AgentSubscribe", "topic"),
    ("AgentSubscribe", "last"),
    ("AgentUnsubscribe", "subject"),
    ("AgentUnsubscribe", "subjects"),
    ("AgentUnsubscribe", "topic"),
    ("AgentUnsubscribe", "last"),
    ("AgentUnsubscribe", "since"),
    ("AgentMessage", "reply"),
    ("AgentMessage", "channel"),
    ("AgentMessage", "seq"),
    ("Message", "reply"),
    ("Message", "channel"),
    ("Message", "seq"),
    ("Welcome", "user_id"),
    *(
        (frame, "queue")
        for frame in (
            *("Subscribe", "Unsubscribe", "Subscribed", "Unsubscribed", "Message"),
            *("AgentSubscribe", "AgentUnsubscribe", "AgentMessage"),
        )
    ),
    ("Subscribed", "subject"),
    ("Unsubscribed", "channel"),
    ("SubscriptionConfirmed", "channel_id"),
    ("UnsubscriptionConfirmed", "channel_id"),
}


def build_example(type_: Any, *, without: frozenset[str] = frozenset()) -> Any:
    """Returns an example of a type as JSON data; of a Struct without the fields in `without`."""
    return _value(inspect.type_info(type_), "", "", without)


def _value(  # noqa: PLR0911 - one per kind of type
    info: inspect.Type, owner: str, name: str, without: frozenset[str] = frozenset()
) -> Any:
    if isinstance(info, inspect.UnionType):
        return _union(info, owner, name)
    if isinstance(info, inspect.StructType):
        return _struct(info, without)
    if (owner, name) in _VALUES_BY_FIELD:
        return _VALUES_BY_FIELD[owner, name]
    if isinstance(info, inspect.EnumType):
        return next(iter(info.cls)).value
    if isinstance(info, inspect.LiteralType):
        return info.values[0]
    if isinstance(info, inspect.ListType | inspect.VarTupleType):
        value = _VALUES.get(name)
        return value if isinstance(value, list) else [_value(info.item_type, owner, name)]
    if type(info) in _VALUES_BY_TYPE:
        return _VALUES_BY_TYPE[type(info)]
    if name in _VALUES:
        return _VALUES[name]
    return _default_value(info, owner)


def _union(info: inspect.UnionType, owner: str, name: str) -> Any:
    if (owner, name) not in _VALUES_BY_FIELD and name in _VALUES and _VALUES[name] is None:
        return None
    types = [type_ for type_ in info.types if not isinstance(type_, inspect.NoneType)]
    return _value(types[0], owner, name)


def _struct(info: inspect.StructType, without: frozenset[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if info.tag_field is not None and info.tag is not None:
        fields[info.tag_field] = info.tag
    for field in info.fields:
        if field.encode_name not in without and (info.cls.__name__, field.encode_name) not in _OMITTED_FIELDS:
            fields[field.encode_name] = _value(field.type, info.cls.__name__, field.encode_name)
    return fields


def _default_value(info: inspect.Type, owner: str) -> Any:
    if isinstance(info, inspect.IntType):
        return max(12, info.ge or 0)
    if isinstance(info, inspect.FloatType):
        return 0.5
    if isinstance(info, inspect.StrType):
        return "text"
    if isinstance(info, inspect.DictType):
        return {"key": _value(info.value_type, owner, "")}
    return {"n": 1}
