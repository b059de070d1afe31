"""What a tenant's clients tell the platform over direct NATS, and how it reaches us.

A tenant's account imports these subjects from the platform's (ARCHITECTURE: heartbeats cross
accounts). The account and the tenant in the arriving subject are written by the operator's
signature, and the `Nats-Request-Info` header names the connection: none of it can be forged.
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


# kind: the subject that a client publishes on, in its own account.
LOCAL_SUBJECTS: dict[IngestKind, str] = {
    IngestKind.HEARTBEAT: "_heartbeat.{tenant_id}.*",
    IngestKind.STATUS: "_HEARTBEAT.tenant.{tenant_id}.client.*",
    IngestKind.PRESENCE: "_PRESENCE.tenant.{tenant_id}.client.*",
    IngestKind.METRICS: "_METRICS.tenant.{tenant_id}.client.*",
}


_KINDS = {kind.value: kind for kind in IngestKind}


class RequestInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's word on who published: account, authenticated user, connection id, server name."""

    acc: str
    user: str = ""
    id: int = 0
    server: str = ""


class IngestSubject(msgspec.Struct, frozen=True, kw_only=True):
    """An ingest subject taken apart."""

    account: str
    kind: IngestKind
    tenant_id: str
    client_id: str


def ingest_subject(account: str, kind: IngestKind, tenant_id: str, client_id: str = "*") -> str:
    """`artcafe.ingest.{account}.{kind}.{tenant_id}.{client_id}`."""
    return f"artcafe.ingest.{account}.{kind}.{tenant_id}.{client_id}"


def parse_ingest_subject(subject: str) -> IngestSubject | None:
    """The parts of an ingest subject; None when it is none."""
    tokens = subject.split(".")
    if len(tokens) != 6 or tokens[3] not in _KINDS:  # noqa: PLR2004 - the form above
        return None
    return IngestSubject(account=tokens[2], kind=_KINDS[tokens[3]], tenant_id=tokens[4], client_id=tokens[5])


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """The body of any of them, as far as we read it; unknown fields are ignored."""

    ts: float | str | None = None
    v: str | None = None
    type: str | None = None
    status: str | None = None
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
