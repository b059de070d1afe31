"""What a client may publish and subscribe to: the rules of its NATS user, of the gateway and of the explainer.

The broker knows neither "every subject but" nor "own subjects only" in an allow list. A client that may use everything
has `>` and a deny list, so that it may use any subject of its own, bare ones included, and none of the platform's; the
deny list takes precedence. A narrowed client has the subjects of its patterns. No client has a `resp` permission: it
would take precedence over the deny list, and a client could send itself a message with any reply subject. Requests are
answered on inboxes, where everybody may publish.

JetStream sends its answers to any reply subject unchecked, so that whoever may call its API may make messages appear
anywhere in its account. Only clients that may publish and subscribe to everything may call it.
"""

import msgspec

from artcafe_common.broker.claims import Permission
from artcafe_common.broker.subjects import (
    ACK_PREFIX,
    FULL_WILDCARD,
    INBOX_PREFIX,
    PRESENCE,
    PRIVATE_INBOX_PREFIX,
    BadSubject,
    ForbiddenSubject,
    SubjectForm,
    covers,
    resolve,
)
from artcafe_common.contracts.identity.clients import Permissions, StreamAccess
from artcafe_common.contracts.ingest import LOCAL_SUBJECTS

# The JetStream domain under which clients read the platform's streams.
STREAMS_DOMAIN = "PLATFORM"
# First tokens of subjects that are the platform's, besides those that begin with `$` or `_`.
PLATFORM_WORDS = ("artcafe", "ps", "gw", "tenant")

_DISCOVERY = tuple(f"$SRV.{verb}{rest}" for verb in ("PING", "INFO", "STATS") for rest in ("", ".>"))
# Subjects by which the broker manages itself, and its lists of an account's connections.
_BROKER = (
    "$SYS.REQ.ACCOUNT.>",
    "$SYS.REQ.SERVER.>",
    "$SYS.ACCOUNT.>",
    "$SYS.SERVER.>",
    "$SYS.DEBUG.>",
    "$NRG.>",
    "$JSC.>",
    "$MQTT.>",
    "_R_.>",
)
_PLATFORM = (f"{ACK_PREFIX}.>", "_REPUBLISH.>", *(f"{word}.>" for word in PLATFORM_WORDS if word != "tenant"))
_BROKER_ROOTS = ("$JS.>", "$SRV.>", "$SYS.>")
_REPORTS = tuple(f"{local.partition('.')[0]}.>" for local in LOCAL_SUBJECTS.values())
_OWN_STORES = ("$KV.>", "$O.>")
_STREAM_API = f"$JS.{STREAMS_DOMAIN}.API"
# What changes a stream of the platform, or concerns more than one. It is not imported either.
_STREAM_CHANGES = tuple(
    f"{_STREAM_API}.{method}.>"
    for method in (
        *(
            f"STREAM.{verb}"
            for verb in (
                "CREATE",
                "UPDATE",
                "DELETE",
                "PURGE",
                "MSG.DELETE",
                "SNAPSHOT",
                "RESTORE",
                "PEER",
                "LEADER",
            )
        ),
        "CONSUMER.LEADER",
        "CONSUMER.PAUSE",
        "META",
        "SERVER",
        "ACCOUNT",
    )
)
_DENIED_JETSTREAM_PUBLISH = {
    StreamAccess.NONE: ("$JS.>", *_OWN_STORES),
    StreamAccess.READ: ("$JS.API.>", *_STREAM_CHANGES, *_OWN_STORES),
    StreamAccess.MANAGE: _STREAM_CHANGES,
}
# Whoever subscribes to these reads or answers the calls of others.
_JETSTREAM_CALLS = ("$JS.API.>", f"$JS.{STREAMS_DOMAIN}.>", "$JS.ACK.>", "$JS.FC.>")
_DENIED_JETSTREAM_SUBSCRIBE = {
    StreamAccess.NONE: ("$JS.>", *_OWN_STORES),
    StreamAccess.READ: ("$JS.>", *_OWN_STORES),
    StreamAccess.MANAGE: _JETSTREAM_CALLS,
}


class ClientGrants(msgspec.Struct, frozen=True, kw_only=True):
    """The subjects that the broker lets a client publish and subscribe to; neither allow list is ever empty."""

    publish: Permission
    subscribe: Permission


def client_grants(tenant_id: str, client_id: str, permissions: Permissions) -> ClientGrants:
    """The grants of a client over direct NATS."""
    streams = effective_streams(permissions)
    publish = _expand(tenant_id, permissions.publish)
    subscribe = _expand(tenant_id, permissions.subscribe)
    own_inboxes = f"{INBOX_PREFIX}.>" if FULL_WILDCARD in subscribe else f"{inbox_prefix(client_id)}.>"
    return ClientGrants(
        publish=Permission(
            allow=_unique(
                *publish,
                *own_reports(tenant_id, client_id),
                f"{INBOX_PREFIX}.>",
                f"{PRIVATE_INBOX_PREFIX}.>",
                *(_DISCOVERY if publish else ()),
            ),
            deny=[*denied_publish(tenant_id), *_DENIED_JETSTREAM_PUBLISH[streams]],
        ),
        subscribe=Permission(
            allow=_unique(*subscribe, own_inboxes, *(_DISCOVERY if subscribe else ())),
            deny=[
                f"{PRIVATE_INBOX_PREFIX}.>",
                *_BROKER,
                *_PLATFORM,
                *_DENIED_JETSTREAM_SUBSCRIBE[streams],
            ],
        ),
    )


def allows(permission: Permission, subject: str) -> bool:
    """Whether a grant includes a subject, or a pattern that the broker then filters by the deny list."""
    if not any(covers(allowed, subject) for allowed in permission.allow):
        return False
    return not any(covers(denied, subject) for denied in permission.deny)


def inbox_prefix(client_id: str) -> str:
    """The prefix of a client's own inboxes, which narrowed clients cannot overhear."""
    return f"{INBOX_PREFIX}.{client_id}"


def own_reports(tenant_id: str, client_id: str) -> list[str]:
    """The subjects of a client's heartbeats, status, presence and metrics."""
    return [local.format(tenant_id=tenant_id).replace("*", client_id) for local in LOCAL_SUBJECTS.values()]


def denied_publish(tenant_id: str) -> list[str]:
    """The subjects that only the platform publishes in a tenant's account, JetStream's apart."""
    presence = [f"{root}{tenant_id}.{PRESENCE}.>" for root in ("", "tenant.")]
    return [*presence, *_BROKER, *_PLATFORM]


def denied_to_bridges(tenant_id: str) -> list[str]:
    """The subjects on which a gateway never publishes for a client: the platform's, JetStream's and reports."""
    return [*denied_publish(tenant_id), *_BROKER_ROOTS, *_OWN_STORES, *_REPORTS]


def effective_streams(permissions: Permissions) -> StreamAccess:
    """The access to JetStream's API: none unless the client may publish and subscribe to everything."""
    if FULL_WILDCARD not in permissions.publish or FULL_WILDCARD not in permissions.subscribe:
        return StreamAccess.NONE
    return permissions.streams if isinstance(permissions.streams, StreamAccess) else StreamAccess.NONE


def permission_patterns(tenant_id: str, pattern: str) -> tuple[str, ...]:
    """The NATS subjects of a permission pattern, in the tenant's account.

    `>` is every subject of the account; any other pattern is expanded to its equivalent forms. A pattern that begins
    with a wildcard has no bare form, in which the wildcard would match the tenant's id and the platform's subjects.
    Raises BadSubject, or ForbiddenSubject for a pattern of another tenant's or the platform's subjects.
    """
    if pattern == FULL_WILDCARD:
        return (FULL_WILDCARD,)
    name = resolve(tenant_id, pattern, wildcards=True)
    if name.form is SubjectForm.AS_IS or name.publish_subject.startswith("tenant."):
        return name.subscribe_subjects
    bare = name.publish_subject.removeprefix(f"{tenant_id}.")
    head = bare.partition(".")[0]
    if head in ("*", FULL_WILDCARD):
        return name.subscribe_subjects
    if head in PLATFORM_WORDS or resolve(tenant_id, bare, wildcards=True).form is not SubjectForm.BARE:
        raise ForbiddenSubject("names of the platform cannot be granted")
    return (*name.subscribe_subjects, bare)


def covering_patterns(tenant_id: str, patterns: list[str], subjects: tuple[str, ...]) -> list[str] | None:
    """The permission patterns that allow `subjects` (subjects or patterns); None unless all are allowed."""
    found = []
    for subject in subjects:
        for pattern in patterns:
            if any(covers(raw, subject) for raw in _expand(tenant_id, [pattern])):
                found.append(pattern)
                break
        else:
            return None
    return _unique(*found)


def permitted(tenant_id: str, patterns: list[str], subjects: tuple[str, ...]) -> bool:
    """Whether permission patterns allow all of `subjects` (subjects or patterns)."""
    return covering_patterns(tenant_id, patterns, subjects) is not None


def _expand(tenant_id: str, patterns: list[str]) -> list[str]:
    """The NATS subjects of patterns. A stored pattern that could no longer be granted grants nothing."""
    expanded: list[str] = []
    for pattern in patterns:
        try:
            expanded += permission_patterns(tenant_id, pattern)
        except (BadSubject, ForbiddenSubject):
            continue
    return expanded


def _unique(*subjects: str) -> list[str]:
    return list(dict.fromkeys(subjects))
