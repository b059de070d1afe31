"""What direct NATS clients say of themselves, across the border of their account."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from nats.aio.msg import Msg

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.ingest import (
    REQUEST_INFO_HEADER,
    IngestKind,
    IngestSubject,
    RequestInfo,
    parse_ingest_subject,
)
from artcafe_common.contracts.ingest import ClientReport as Body
from artcafe_presence.records import Act, Report
from artcafe_presence.store import Store

# More than this of a client's own words is not kept.
MAX_JSON_BYTES = 16 * 1024
MAX_STATUS = 64
MAX_PENDING = 20_000
# msgspec tells of bytes that are no UTF-8, and of bottomless nesting, in the language's own words.
_NOT_UNDERSTOOD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ACTS = {
    IngestKind.HEARTBEAT: Act.BEAT,
    IngestKind.STATUS: Act.BEAT,
    IngestKind.METRICS: Act.METRICS,
}
log = structlog.get_logger()


class Reports:
    """Takes what arrives and applies it a moment later, many in one call.

    A flood, or a Redis that does not answer, costs the oldest reports and never memory.
    """

    def __init__(self, store: Store, *, on_unknown_broker: Callable[[], None]) -> None:
        self._store = store
        self._on_unknown_broker = on_unknown_broker
        self._pending: deque[Report] = deque(maxlen=MAX_PENDING)

    async def receive(self, message: Msg) -> None:
        """Take one message of the ingest subjects."""
        report = understand(message.subject, message.headers or {}, message.data)
        if report is not None:
            self._pending.append(report)

    async def flush(self) -> None:
        """Apply what has come."""
        if not self._pending:
            return
        some = list(self._pending)
        self._pending.clear()
        try:
            unknown = await self._store.touch(some)
        except CommandError as error:
            log.warning("heartbeats_lost", reason=error.detail, count=len(some))
            return
        if unknown:
            self._on_unknown_broker()


def understand(subject: str, headers: dict[str, str], data: bytes) -> Report | None:
    """The report in a message; None unless the client that it names is the one that sent it."""
    arrival = parse_ingest_subject(subject)
    if arrival is None or not _is_by_its_client(arrival, info := _origin(headers)) or info is None:
        return None
    body = _body(data, arrival.kind)
    if body is None:
        return None
    act = _ACTS.get(arrival.kind) or (Act.DISCONNECT if body.type == "disconnect" else Act.CONNECT)
    return Report(
        act=act,
        tenant_id=arrival.tenant_id,
        client_id=arrival.client_id,
        server=info.server,
        cid=info.id,
        account=arrival.account,
        status=limited_status(body.status) if act is Act.BEAT else None,
        metrics=limited_json(body.metrics),
        metadata=limited_json(body.metadata),
    )


def limited_status(word: str | None) -> str | None:
    """A client's word on its health, as far as it is one."""
    return None if word is None else word[:MAX_STATUS]


def limited_json(value: dict[str, Any] | None) -> str | None:
    """The JSON text that is kept; None when it is too much."""
    if value is None:
        return None
    text = msgspec.json.encode(value)
    return text.decode() if len(text) <= MAX_JSON_BYTES else None


def _is_by_its_client(arrival: IngestSubject, info: RequestInfo | None) -> bool:
    return (
        info is not None
        and info.acc == arrival.account
        and info.user == arrival.client_id
        and bool(ULID_PATTERN.match(info.user))
    )


def _origin(headers: dict[str, str]) -> RequestInfo | None:
    try:
        return msgspec.json.decode(headers.get(REQUEST_INFO_HEADER, ""), type=RequestInfo)
    except _NOT_UNDERSTOOD:
        return None


def _body(data: bytes, kind: IngestKind) -> Body | None:
    if kind is IngestKind.METRICS:
        # The report is the metrics, bare or in a field of that name.
        try:
            metrics = msgspec.json.decode(data, type=dict[str, Any])
        except _NOT_UNDERSTOOD:
            return None
        inner = metrics.get("metrics")
        return Body(metrics=inner if isinstance(inner, dict) else metrics)
    try:
        return msgspec.json.decode(data, type=Body)
    except _NOT_UNDERSTOOD:
        # A heartbeat is one whatever stands in it; anything else says nothing.
        return None if kind is IngestKind.PRESENCE else Body()
