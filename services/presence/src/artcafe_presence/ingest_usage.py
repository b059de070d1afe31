"""Counts verified ingest messages, so that metering can subtract them from the broker's traffic totals."""

import structlog

from artcafe_common.broker.request_info import REQUEST_INFO_HEADER
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.ingest import IngestOrigin, IngestReceived, IngestUsage

MAX_CLIENTS = 20_000
ENTRIES_PER_EVENT = 2_000
_HEADER_FRAME = len("NATS/1.0\r\n\r\n")
_HEADER_LINE = len(": \r\n")
log = structlog.get_logger()


class IngestUsageReporter:
    """Counts per client and publishes the counts; they wait while the broker is away.

    Beyond `MAX_CLIENTS` clients, messages are counted for their tenant only.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._unpublished: list[IngestReceived] = []

    def record(self, origin: IngestOrigin, client_id: str, headers: dict[str, str], data: bytes) -> None:
        """Count one verified message of `client_id`, or of the tenant if that is empty."""
        # The broker counted it for the sender's connection, whichever client the subject names.
        key = (origin.subject.tenant_id, client_id)
        if key not in self._counts and len(self._counts) >= MAX_CLIENTS:
            key = (origin.subject.tenant_id, "")
        counts = self._counts.setdefault(key, [0, 0])
        counts[0] += 1
        counts[1] += len(data) + header_size(headers)

    async def flush(self) -> None:
        """Publish the counts; metering applies each event once. While events wait, counting goes on."""
        await self._publish_waiting()
        if self._unpublished:
            return
        counts, self._counts = self._counts, {}
        entries = [
            IngestUsage(tenant_id=tenant_id, client_id=client_id, messages=messages, bytes_in=size)
            for (tenant_id, client_id), (messages, size) in counts.items()
        ]
        for start in range(0, len(entries), ENTRIES_PER_EVENT):
            self._unpublished.append(IngestReceived(entries=entries[start : start + ENTRIES_PER_EVENT]))
        await self._publish_waiting()

    async def _publish_waiting(self) -> None:
        while self._unpublished:
            try:
                await self._bus.publish(self._unpublished[0])
            except CommandError as error:
                log.warning("ingest_usage_delayed", events=len(self._unpublished), reason=error.detail)
                return
            del self._unpublished[0]


def header_size(headers: dict[str, str]) -> int:
    """The size on the wire of the headers that the client sent; the broker counts it with the payload."""
    sent = {name: value for name, value in headers.items() if name != REQUEST_INFO_HEADER}
    if not sent:
        return 0
    lines = sum(len(name.encode()) + len(value.encode()) + _HEADER_LINE for name, value in sent.items())
    return _HEADER_FRAME + lines
