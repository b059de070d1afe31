"""Contract of the reports that clients publish over direct NATS: heartbeats, status, presence, metrics.

A tenant's account imports these subjects from the platform's account. The account key and the tenant id in the
received subject come from the signed account JWT, and the `Nats-Request-Info` header names the connection; a client
can forge none of them.
"""

from enum import StrEnum
from typing import Any

import msgspec

INGEST_STREAM = "INGEST"
INGEST_SUBJECT = "artcafe.ingest.>"
REQUEST_INFO_HEADER = "Nats-Request-Info"


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
    """The `Nats-Request-Info` header: the publisher's account, user, connection id and server name."""

    acc: str
    user: str = ""
    id: int = 0
    server: str = ""


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


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a report; every field is optional, and unknown fields are ignored."""

    ts: float | str | None = None
    v: str | None = None
    type: str | None = None
    status: str | None = None
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
