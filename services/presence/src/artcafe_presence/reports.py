"""Heartbeats, status, presence and metrics that direct NATS clients publish across their account's border."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from artcafe_common.bus.errors import DECODE_ERRORS, CommandError
from artcafe_common.contracts.ingest import (
    IngestKind,
    IngestOrigin,
    IngestReport,
)
from artcafe_common.contracts.presence import parse_status
from artcafe_presence.records import ConnectionReport, ReportType
from artcafe_presence.store import Store

MAX_JSON_BYTES = 16 * 1024
MAX_CAPABILITIES_BYTES = 4 * 1024
LOG_INTERVAL_S = 60.0
MAX_PENDING = 20_000
# How often one flush halves its reports to find those that the store cannot apply.
MAX_FAILURES = 100
_REPORT_TYPES = {
    IngestKind.HEARTBEAT: ReportType.HEARTBEAT,
    IngestKind.STATUS: ReportType.HEARTBEAT,
    IngestKind.METRICS: ReportType.TRAFFIC,
}
log = structlog.get_logger()


class ReportBuffer:
    """Buffers client reports and applies them in batches.

    When too many arrive, or Redis does not answer, the oldest reports are dropped, and counted in `overflowed`
    and `dropped`. `rejected` counts those that the store cannot apply, `ignored_statuses` the statuses that are
    none of ReportedStatus; their heartbeats count all the same.
    """

    def __init__(self, store: Store, *, on_unknown_server: Callable[[], None]) -> None:
        self._store = store
        self._on_unknown_server = on_unknown_server
        self._pending: deque[ConnectionReport] = deque(maxlen=MAX_PENDING)
        self.received = self.overflowed = self.dropped = self.rejected = 0
        self.ignored_statuses = 0
        self._logged = 0

    @property
    def pending_count(self) -> int:
        """How many reports are buffered."""
        return len(self._pending)

    def receive(self, origin: IngestOrigin, client_id: str, data: bytes) -> None:
        """Buffer one verified message of the ingest subjects, sent by `client_id`."""
        parsed = parse_report(origin, client_id, data)
        if parsed is not None:
            self.received += 1
            self.overflowed += len(self._pending) == MAX_PENDING
            self._pending.append(parsed.report)
            self.ignored_statuses += parsed.status_ignored

    async def flush(self) -> None:
        """Apply the buffered reports."""
        if not self._pending:
            return
        reports = list(self._pending)
        self._pending.clear()
        try:
            from_unknown_servers = await self._apply(reports)
        except CommandError as error:
            self.dropped += len(reports)
            log.warning("heartbeats_dropped", reason=error.detail, count=len(reports))
            return
        if from_unknown_servers:
            self._on_unknown_server()

    async def _apply(self, reports: list[ConnectionReport]) -> int:
        """Apply the reports; one that the store cannot apply is dropped alone."""
        unknown = rejected = failures = 0
        parts = [reports]
        while parts:
            part = parts.pop()
            try:
                unknown += await self._store.apply_reports(part)
            except CommandError:
                raise
            except Exception:  # noqa: BLE001 - logged below, once for all reports
                failures += 1
                if len(part) == 1 or failures > MAX_FAILURES:
                    rejected += len(part)
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
        if rejected:
            self.rejected += rejected
            log.error("reports_rejected", count=rejected, total=self.rejected)
        return unknown

    async def log_ignored(self) -> None:
        """Log how many statuses were ignored since the last call, if any."""
        count, self._logged = self.ignored_statuses - self._logged, self.ignored_statuses
        if count:
            log.info("statuses_ignored", count=count)


class ParsedReport(NamedTuple):
    """A report, and whether it had a status that is none of ReportedStatus."""

    report: ConnectionReport
    status_ignored: bool


def parse_report(origin: IngestOrigin, client_id: str, data: bytes) -> ParsedReport | None:
    """The report in a message; None unless the sender, `client_id`, is the client named in the subject."""
    if not client_id or client_id != origin.subject.client_id:
        return None
    arrival, info = origin.subject, origin.sender
    body = _parse_body(data, arrival.kind)
    if body is None:
        return None
    report_type = _REPORT_TYPES.get(arrival.kind) or (
        ReportType.DISCONNECT if body.type == "disconnect" else ReportType.CONNECT
    )
    metrics = encode_json(body.metrics)
    is_traffic = report_type is ReportType.TRAFFIC
    is_heartbeat = report_type is ReportType.HEARTBEAT
    status = known_status(body.status) if is_heartbeat else None
    report = ConnectionReport(
        type=report_type,
        tenant_id=arrival.tenant_id,
        client_id=arrival.client_id,
        server=info.server,
        cid=info.id,
        account=arrival.account,
        status=status,
        metrics=None if is_traffic else metrics,
        traffic=metrics if is_traffic else None,
        metadata=encode_json(body.metadata),
        capabilities=encode_json(body.capabilities, MAX_CAPABILITIES_BYTES),
    )
    return ParsedReport(report, is_heartbeat and body.status is not None and status is None)


def known_status(status: str | None) -> str | None:
    """The status to store; None for one that is none of ReportedStatus."""
    return None if status is None else parse_status(status)


def encode_json(value: dict[str, Any] | list[Any] | None, max_bytes: int = MAX_JSON_BYTES) -> str | None:
    """The JSON text to store; None when it is over `max_bytes`."""
    if value is None:
        return None
    text = msgspec.json.encode(value)
    return text.decode() if len(text) <= max_bytes else None


def _parse_body(data: bytes, kind: IngestKind) -> IngestReport | None:
    if kind is IngestKind.METRICS:
        # The metrics are the whole body, or its field `metrics`.
        try:
            metrics = msgspec.json.decode(data, type=dict[str, Any])
        except DECODE_ERRORS:
            return None
        inner = metrics.get("metrics")
        return IngestReport(metrics=inner if isinstance(inner, dict) else metrics)
    try:
        return msgspec.json.decode(data, type=IngestReport)
    except DECODE_ERRORS:
        # A heartbeat counts whatever its body is; a presence message needs its type.
        return None if kind is IngestKind.PRESENCE else IngestReport()
