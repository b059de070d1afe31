"""Heartbeats, status, presence and metrics that direct NATS clients publish across their account's border."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.ingest import (
    IngestKind,
    IngestOrigin,
    IngestReport,
)
from artcafe_presence.records import ConnectionReport, ReportType
from artcafe_presence.store import Store

MAX_JSON_BYTES = 16 * 1024
MAX_STATUS_LENGTH = 64
MAX_PENDING = 20_000
# msgspec raises Python's own errors for invalid UTF-8 and for too deep nesting.
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_REPORT_TYPES = {
    IngestKind.HEARTBEAT: ReportType.HEARTBEAT,
    IngestKind.STATUS: ReportType.HEARTBEAT,
    IngestKind.METRICS: ReportType.METRICS,
}
log = structlog.get_logger()


class ReportBuffer:
    """Buffers client reports and applies them in batches.

    When too many arrive, or Redis does not answer, the oldest reports are dropped.
    """

    def __init__(self, store: Store, *, on_unknown_server: Callable[[], None]) -> None:
        self._store = store
        self._on_unknown_server = on_unknown_server
        self._pending: deque[ConnectionReport] = deque(maxlen=MAX_PENDING)

    def receive(self, origin: IngestOrigin, data: bytes) -> None:
        """Buffer one verified message of the ingest subjects."""
        report = parse_report(origin, data)
        if report is not None:
            self._pending.append(report)

    async def flush(self) -> None:
        """Apply the buffered reports."""
        if not self._pending:
            return
        reports = list(self._pending)
        self._pending.clear()
        try:
            from_unknown_servers = await self._store.apply_reports(reports)
        except CommandError as error:
            log.warning("heartbeats_dropped", reason=error.detail, count=len(reports))
            return
        if from_unknown_servers:
            self._on_unknown_server()


def parse_report(origin: IngestOrigin, data: bytes) -> ConnectionReport | None:
    """The report in a message; None unless the sender is the client named in the subject."""
    if not _is_sent_by_named_client(origin):
        return None
    arrival, info = origin.subject, origin.sender
    body = _parse_body(data, arrival.kind)
    if body is None:
        return None
    report_type = _REPORT_TYPES.get(arrival.kind) or (
        ReportType.DISCONNECT if body.type == "disconnect" else ReportType.CONNECT
    )
    return ConnectionReport(
        type=report_type,
        tenant_id=arrival.tenant_id,
        client_id=arrival.client_id,
        server=info.server,
        cid=info.id,
        account=arrival.account,
        status=truncate_status(body.status) if report_type is ReportType.HEARTBEAT else None,
        metrics=encode_json(body.metrics),
        metadata=encode_json(body.metadata),
    )


def truncate_status(status: str | None) -> str | None:
    """A client's status, cut to the stored length."""
    return None if status is None else status[:MAX_STATUS_LENGTH]


def encode_json(value: dict[str, Any] | None) -> str | None:
    """The JSON text to store; None when it is over `MAX_JSON_BYTES`."""
    if value is None:
        return None
    text = msgspec.json.encode(value)
    return text.decode() if len(text) <= MAX_JSON_BYTES else None


def _is_sent_by_named_client(origin: IngestOrigin) -> bool:
    return origin.sender.user == origin.subject.client_id and bool(ULID_PATTERN.match(origin.sender.user))


def _parse_body(data: bytes, kind: IngestKind) -> IngestReport | None:
    if kind is IngestKind.METRICS:
        # The metrics are the whole body, or its field `metrics`.
        try:
            metrics = msgspec.json.decode(data, type=dict[str, Any])
        except _DECODE_ERRORS:
            return None
        inner = metrics.get("metrics")
        return IngestReport(metrics=inner if isinstance(inner, dict) else metrics)
    try:
        return msgspec.json.decode(data, type=IngestReport)
    except _DECODE_ERRORS:
        # A heartbeat counts whatever its body is; a presence message needs its type.
        return None if kind is IngestKind.PRESENCE else IngestReport()
