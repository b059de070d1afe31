"""Contract of the reports that clients publish over direct NATS: heartbeats, status, presence, metrics.

A tenant's account imports these subjects from the platform's account, and a client's publish arrives on
`artcafe.ingest.…`. The broker's `Nats-Request-Info` header names the account and the connection, and a client cannot
forge it; the subject alone proves nothing, see `verify_origin`.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from artcafe_common.broker.request_info import REQUEST_INFO_HEADER
from artcafe_common.bus.command import Event

INGEST_SUBJECT = "artcafe.ingest.>"
# The kind of a connection of a NATS client, unlike one that the broker makes itself.
CLIENT_KIND = "Client"


class IngestKind(StrEnum):
    """The fourth token of an ingest subject."""

    HEARTBEAT = "heartbeat"
    STATUS = "status"
    PRESENCE = "presence"
    METRICS = "metrics"


# The subject that a client publishes each kind on, in its own account.
LOCAL_SUBJECTS: dict[IngestKind, str] = {
    IngestKind.HEARTBEAT: "_heartbeat.{tenant_id}.*",
    IngestKind.STATUS: "_HEARTBEAT.tenant.{tenant_id}.client.*",
    IngestKind.PRESENCE: "_PRESENCE.tenant.{tenant_id}.client.*",
    IngestKind.METRICS: "_METRICS.tenant.{tenant_id}.client.*",
}


_KINDS = {kind.value: kind for kind in IngestKind}


class RequestInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's description of a message's sender: account, user, connection id, server name, kind.

    The broker overwrites the header, so a client cannot forge it. But `user` is the client's id only if
    `issuer_key` is the platform's key in that account (`artcafe_common.account_keys`).
    """

    acc: str
    user: str = ""
    id: int = 0
    server: str = ""
    kind: str = ""
    issuer_key: str = ""
    start: datetime = datetime.fromtimestamp(0, UTC)


class IngestSubject(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an ingest subject."""

    account: str
    kind: IngestKind
    tenant_id: str
    client_id: str


def ingest_subject(account: str, kind: IngestKind, tenant_id: str, client_id: str = "*") -> str:
    """`artcafe.ingest.{account}.{kind}.{tenant_id}.{client_id}`."""
    return f"artcafe.ingest.{account}.{kind}.{tenant_id}.{client_id}"


def parse_ingest_subject(subject: str) -> IngestSubject | None:
    """Parse an ingest subject; None for any other subject."""
    tokens = subject.split(".")
    if len(tokens) != 6 or tokens[3] not in _KINDS:  # noqa: PLR2004 - the form in `ingest_subject`
        return None
    return IngestSubject(account=tokens[2], kind=_KINDS[tokens[3]], tenant_id=tokens[4], client_id=tokens[5])


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a report; every field is optional, and unknown fields are ignored."""

    ts: float | str | None = None
    v: str | None = None
    type: str | None = None
    status: str | None = None
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    capabilities: list[Any] | None = None


class IngestOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """An ingest message's subject, and the sender that the broker attests."""

    subject: IngestSubject
    sender: RequestInfo


def decode_request_info(headers: dict[str, str]) -> RequestInfo | None:
    """The sender of a message that crossed accounts, as the broker attests it; None without a valid header."""
    try:
        return msgspec.json.decode(headers.get(REQUEST_INFO_HEADER, ""), type=RequestInfo)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def verify_origin(subject: str, headers: dict[str, str]) -> IngestOrigin | None:
    """The origin of an ingest message; None unless the broker attests that a client of that account sent it.

    The account in the subject alone proves nothing: a stream in any account can store a message under
    another account's ingest subject and have JetStream deliver it to the platform.
    """
    parsed = parse_ingest_subject(subject)
    sender = decode_request_info(headers)
    if parsed is None or sender is None or sender.acc != parsed.account or sender.kind != CLIENT_KIND:
        return None
    return IngestOrigin(subject=parsed, sender=sender)


class IngestUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Ingest messages of one client; `bytes_in` includes headers. Without a client they are the tenant's."""

    tenant_id: str
    client_id: str = ""
    messages: int
    bytes_in: int


class IngestReceived(Event, frozen=True, kw_only=True):
    """Verified ingest messages that presence received; the broker counts them, but they are not billed."""

    subject = "artcafe.events.presence.ingest_received"
    publishers = ("presence",)
    consumers = ("metering",)
    entries: list[IngestUsage]
