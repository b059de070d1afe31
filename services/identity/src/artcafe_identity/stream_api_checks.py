"""What clients' calls of the JetStream API may say.

The broker takes names in JSON in any case, Unicode's folding included, and the last of several. So a configuration is
decoded, accepted only if each of its names is known exactly as it is written, and encoded anew.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from artcafe_common.broker.subjects import (
    FULL_WILDCARD,
    HISTORY_STREAM,
    INBOX_PREFIX,
    ULID_PATTERN,
    BadSubject,
    validate,
)
from artcafe_common.grants import PLATFORM_WORDS

MAX_CALL_BYTES = 64 * 1024
# Error codes of the JetStream API: a bad request, an invalid stream, a subject that a consumer may not deliver to.
_BAD_REQUEST, _INVALID_STREAM, _INVALID_CONSUMER, _INVALID_DELIVERY = 10003, 10052, 10126, 10112
_CREATE_STREAM_CALLS = ("STREAM.CREATE.", "STREAM.UPDATE.")
_CREATE_CONSUMER_CALLS = ("CONSUMER.CREATE.", "CONSUMER.DURABLE.CREATE.")
_SUBJECT_STREAM = "SUBJECT_"
# Libraries list the keys of a bucket by consumers of headers only.
_KEY_VALUE_STREAM = "KV_"
_STORES = ("$KV", "$O")
_OWN_NAMES = ("tenant", "agents", "channels")
_Json = dict[str, Any]

_STREAM = frozenset(
    [
        "name",
        "description",
        "subjects",
        "retention",
        "max_consumers",
        "max_msgs",
        "max_bytes",
        "max_age",
        "max_msgs_per_subject",
        "max_msg_size",
        "discard",
        "discard_new_per_subject",
        "storage",
        "num_replicas",
        "no_ack",
        "template_owner",
        "duplicate_window",
        "placement",
        "mirror",
        "sources",
        "compression",
        "first_seq",
        "subject_transform",
        "republish",
        "allow_direct",
        "mirror_direct",
        "sealed",
        "deny_delete",
        "deny_purge",
        "allow_rollup_hdrs",
        "consumer_limits",
        "metadata",
        "allow_msg_ttl",
        "subject_delete_marker_ttl",
        "allow_msg_counter",
        "allow_atomic",
        "allow_batched",
        "persist_mode",
        "pedantic",
    ]
)
_SOURCE = frozenset(
    ["name", "opt_start_seq", "opt_start_time", "filter_subject", "subject_transforms", "external"]
)
_TRANSFORM = frozenset(("src", "dest"))
_CONSUMER_REQUEST = frozenset(["stream_name", "config", "action", "pedantic"])
_CONSUMER = frozenset(
    [
        "durable_name",
        "name",
        "description",
        "deliver_policy",
        "opt_start_seq",
        "opt_start_time",
        "ack_policy",
        "ack_wait",
        "max_deliver",
        "backoff",
        "filter_subject",
        "filter_subjects",
        "replay_policy",
        "rate_limit_bps",
        "sample_freq",
        "max_waiting",
        "max_ack_pending",
        "flow_control",
        "headers_only",
        "max_batch",
        "max_expires",
        "max_bytes",
        "inactive_threshold",
        "num_replicas",
        "mem_storage",
        "metadata",
        "pause_until",
        "priority_groups",
        "priority_policy",
        "priority_timeout",
        "deliver_subject",
        "deliver_group",
        "idle_heartbeat",
    ]
)


class CallRefused(Exception):
    """A call that is not forwarded: its text is the reason, `err_code` one of the JetStream API's."""

    def __init__(self, reason: str, err_code: int = _BAD_REQUEST) -> None:
        super().__init__(reason)
        self.err_code = err_code


class CheckedCall(msgspec.Struct, frozen=True, kw_only=True):
    """The body to forward, and the first tokens of subjects that a stream has to receive for it."""

    body: bytes
    roots: frozenset[str] = frozenset()


def check_call(call: str, body: bytes, *, tenant_id: str, own: bool, replicas: int = 1) -> CheckedCall:
    """Check a call about the platform's streams or, with `own`, the clients' own. Raises CallRefused.

    A stream has `replicas`, whatever the client asks for: the plan's storage is for as many.
    """
    try:
        # The filter of a consumer may be part of the subject.
        validate(call, wildcards=True)
    except BadSubject as error:
        raise CallRefused(error.detail) from None
    if len(body) > MAX_CALL_BYTES:
        raise CallRefused(f"a call may have at most {MAX_CALL_BYTES} bytes")
    for prefix in _CREATE_CONSUMER_CALLS:
        if call.startswith(prefix):
            of_bucket = own and call.removeprefix(prefix).startswith(_KEY_VALUE_STREAM)
            return CheckedCall(body=_check_consumer_request(body, replace_headers_only=of_bucket))
    for prefix in _CREATE_STREAM_CALLS:
        if call.startswith(prefix):
            return _check_stream_call(call.removeprefix(prefix), body, tenant_id, replicas)
    return CheckedCall(body=body)


def _check_stream_call(stream: str, body: bytes, tenant_id: str, replicas: int) -> CheckedCall:
    if stream == HISTORY_STREAM or stream.startswith(_SUBJECT_STREAM):
        raise CallRefused("the name is that of a stream of the platform", _INVALID_STREAM)
    config = _decode(body)
    roots = check_stream(config, tenant_id=tenant_id)
    config["num_replicas"] = replicas
    return CheckedCall(body=msgspec.json.encode(config), roots=roots)


def check_stream(config: _Json, *, tenant_id: str) -> frozenset[str]:
    """Check the configuration of an own stream; a missing subject, for which the broker has a default, is added.

    Returns the first tokens of the subjects that it stores beyond those that are always received. Raises CallRefused.
    """
    _require_known(config, _STREAM, "stream")
    if config.get("republish"):
        # nats-server ends when such a stream stores a message whose header block has one byte.
        raise CallRefused("a stream may not republish", _INVALID_STREAM)
    sources = [*_objects(config, "sources"), *_objects(config, "mirror")]
    for source in sources:
        _require_known(source, _SOURCE, "source")
        if source.get("external"):
            raise CallRefused("a stream may have sources in its own account only", _INVALID_STREAM)
    if not sources and not config.get("subjects"):
        config["subjects"] = [_text(config, "name")]
    transforms = [*_objects(config, "subject_transform")]
    for source in sources:
        transforms += _objects(source, "subject_transforms")
    for transform in transforms:
        _require_known(transform, _TRANSFORM, "subject transform")
        if destination := _text(transform, "dest"):
            subject_root(tenant_id, destination)
    roots = {subject_root(tenant_id, subject) for subject in _texts(config, "subjects")}
    return frozenset(root for root in roots if root is not None)


def subject_root(tenant_id: str, subject: str) -> str | None:
    """The first token of a subject that an own stream may store; None where it is always received.

    Raises CallRefused for a subject that is not the organization's, or that begins with a wildcard.
    """
    head, *rest = subject.split(".")
    if "{{" in head:
        raise CallRefused("the first token of a subject transform must be literal", _INVALID_STREAM)
    if head in _STORES and rest:
        return None
    if head == tenant_id or (head in _OWN_NAMES and rest[:1] == [tenant_id]):
        return None
    if head in ("*", FULL_WILDCARD):
        raise CallRefused("the first token of a stream's subject may not be a wildcard", _INVALID_STREAM)
    try:
        validate(head, wildcards=False)
    except BadSubject as error:
        raise CallRefused(error.detail, _INVALID_STREAM) from None
    if head.startswith(("$", "_")) or head in PLATFORM_WORDS or ULID_PATTERN.match(head):
        raise CallRefused("a stream may store subjects of your own organization only", _INVALID_STREAM)
    return head


def check_consumer(config: _Json, *, replace_headers_only: bool = False) -> None:
    """Check the configuration of a consumer. Raises CallRefused.

    With `replace_headers_only`, a consumer of headers only becomes one of whole messages.
    """
    _require_known(config, _CONSUMER, "consumer")
    if config.get("headers_only"):
        # nats-server ends when such a consumer delivers a message whose header block has one byte.
        if not replace_headers_only:
            raise CallRefused("a consumer delivers whole messages, not headers only", _INVALID_CONSUMER)
        config["headers_only"] = False
    target = _text(config, "deliver_subject")
    if target and not target.startswith(f"{INBOX_PREFIX}."):
        raise CallRefused(
            f"a consumer may deliver to subjects that begin with {INBOX_PREFIX}. only", _INVALID_DELIVERY
        )


def _check_consumer_request(body: bytes, *, replace_headers_only: bool) -> bytes:
    request = _decode(body)
    _require_known(request, _CONSUMER_REQUEST, "request")
    for config in _objects(request, "config"):
        check_consumer(config, replace_headers_only=replace_headers_only)
    return msgspec.json.encode(request)


def _decode(body: bytes) -> _Json:
    try:
        return msgspec.json.decode(body, type=_Json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CallRefused("the body is not a valid JSON object") from None


def _require_known(config: _Json, names: frozenset[str], what: str) -> None:
    """Drop what is not set, and refuse settings that are not known."""
    for name, value in tuple(config.items()):
        if value is None or (not value and name not in names):
            del config[name]
        elif name not in names:
            raise CallRefused(f"unknown setting of a {what}: {name[:64]!r}")


def _objects(config: _Json, name: str) -> Iterator[_Json]:
    value = config.get(name)
    for each in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(each, dict):
            raise CallRefused(f"{name} must be an object")
        yield each


def _text(config: _Json, name: str) -> str:
    value = config.get(name, "")
    if not isinstance(value, str):
        raise CallRefused(f"{name} must be a string")
    return value


def _texts(config: _Json, name: str) -> list[str]:
    value = config.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise CallRefused(f"{name} must be a list of strings")
    return value
