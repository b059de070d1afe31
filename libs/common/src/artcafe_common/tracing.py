"""Traces of requests through the services, and of messages from publish to delivery, by OpenTelemetry.

Off unless an endpoint is configured. A trace is sampled where it begins, in a gateway; everything else follows that
decision, which travels in the flags of `traceparent`. Nothing here costs anything for a request that is not sampled,
beyond a look at a context variable.
"""

import asyncio
import contextlib
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import structlog

from artcafe_common import __version__
from artcafe_common.token_bucket import TokenBucket

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

Kind = Literal["internal", "server", "client", "producer", "consumer"]
EXPORT_TIMEOUT_S = 5
EXPORT_INTERVAL_S = 2
MAX_QUEUED_SPANS = 2048
LOG_INTERVAL_S = 60.0
CLOSE_POLL_S = 0.05
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
log = structlog.get_logger()


class TracingNotInstalled(Exception):
    """The packages of the extra `tracing` are missing."""


class Span:
    """A part of a sampled trace that is being recorded."""

    __slots__ = ("_otel", "_tracer")

    def __init__(self, tracer: "Tracer", otel: Any) -> None:
        self._tracer = tracer
        self._otel = otel

    @property
    def traceparent(self) -> str:
        """The W3C header for what this span causes."""
        context = self._otel.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def rename(self, name: str) -> None:
        """Set the name, when it is known later than the beginning."""
        self._otel.update_name(name)

    def set(self, name: str, value: str | int) -> None:
        """Set an attribute; never a secret, nor the content of a message."""
        self._otel.set_attribute(name, value)

    def end(self, error: str = "") -> None:
        """End the span, with the code of an error if it failed."""
        if error:
            self._tracer.mark_failed(self._otel, error)
        self._otel.end()

    def start_child(self, name: str, kind: Kind) -> "Span":
        """A span below this one."""
        return self._tracer.start_below(self._otel, name, kind)


_current: ContextVar[Span | None] = ContextVar("artcafe_span", default=None)


class Tracer:
    """Begins and continues traces; one without an exporter never does."""

    def __init__(
        self,
        service: str = "",
        server_id: str = "",
        *,
        exporter: "SpanExporter | None" = None,
        ratio: float = 0.0,
        per_second: float = 1.0,
    ) -> None:
        self.enabled = exporter is not None
        self._exporter = exporter
        self._ratio = ratio
        # Begun traces, and continued ones, of which each service sees several for each begun one.
        self._begun, self._continued = TokenBucket(per_second), TokenBucket(10 * per_second)
        if exporter is not None:
            self._set_up(service, server_id, exporter)

    def _set_up(self, service: str, server_id: str, exporter: "SpanExporter") -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource(
            {
                "service.name": f"artcafe-{service}",
                "service.version": __version__,
                "service.instance.id": server_id,
            }
        )
        self._api = trace
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=MAX_QUEUED_SPANS,
                schedule_delay_millis=EXPORT_INTERVAL_S * 1000,
                export_timeout_millis=EXPORT_TIMEOUT_S * 1000,
            )
        )
        self._otel = self._provider.get_tracer("artcafe", __version__)
        self._kinds: dict[str, Any] = {kind.name.lower(): kind for kind in trace.SpanKind}

    def begin(self, name: str, kind: Kind, *, parent: str = "") -> Span | None:
        """Begin a trace, if it is sampled; below `parent`, the traceparent of a caller who does not decide that."""
        if not self.enabled or random.random() >= self._ratio or not self._begun.try_consume():
            return None
        return self._start(name, kind, parent)

    def resume(self, name: str, kind: Kind, traceparent: str) -> Span | None:
        """Continue the trace of another process, if it was sampled there."""
        if not self.enabled or not traceparent.endswith("-01") or not self._continued.try_consume():
            return None
        return self._start(name, kind, traceparent)

    def _start(self, name: str, kind: Kind, parent: str) -> Span:
        match = _TRACEPARENT.fullmatch(parent)
        context = None
        if match is not None and int(match[1], 16) and int(match[2], 16):
            remote = self._api.SpanContext(
                int(match[1], 16),
                int(match[2], 16),
                is_remote=True,
                trace_flags=self._api.TraceFlags(self._api.TraceFlags.SAMPLED),
            )
            context = self._api.set_span_in_context(self._api.NonRecordingSpan(remote))
        return Span(self, self._otel.start_span(name, context=context, kind=self._kinds[kind]))

    def start_below(self, parent: Any, name: str, kind: Kind) -> Span:
        """A span below another one of this process."""
        context = self._api.set_span_in_context(parent)
        return Span(self, self._otel.start_span(name, context=context, kind=self._kinds[kind]))

    def mark_failed(self, span: Any, error: str) -> None:
        """Set the status of a span that failed."""
        span.set_attribute("error.type", error)
        span.set_status(self._api.Status(self._api.StatusCode.ERROR))

    def close(self) -> None:
        """Send what is queued, within EXPORT_TIMEOUT_S; blocks."""
        if self.enabled:
            self._provider.shutdown()

    async def close_within(self, seconds: float) -> None:
        """Send what is queued, or give it up after some time, so that a collector that is away delays nothing."""
        # Not in the event loop's executor, whose threads the end of the process waits for.
        thread = threading.Thread(target=self.close, daemon=True)
        thread.start()
        deadline = time.monotonic() + seconds
        while thread.is_alive() and time.monotonic() < deadline:
            await asyncio.sleep(CLOSE_POLL_S)
        if thread.is_alive() and self._exporter is not None:
            # It stops trying, and the thread ends.
            self._exporter.shutdown()


DISABLED = Tracer()


@contextlib.contextmanager
def current(span: Span | None) -> Iterator[Span | None]:
    """Make a span the current one of this task, and end it afterwards; nothing without a span."""
    if span is None:
        yield None
        return
    token = _current.set(span)
    error = ""
    try:
        yield span
    except BaseException as raised:
        error = str(getattr(raised, "code", "")) or type(raised).__name__
        raise
    finally:
        _current.reset(token)
        span.end(error)


@contextlib.contextmanager
def child(name: str, kind: Kind = "client", **attributes: str) -> Iterator[Span | None]:
    """A span below the current one; nothing if there is none."""
    parent = _current.get()
    if parent is None:
        yield None
        return
    span = parent.start_child(name, kind)
    for attribute, value in attributes.items():
        span.set(attribute.replace("_", "."), value)
    with current(span):
        yield span


def current_traceparent() -> str:
    """The traceparent of the current span; empty if there is none."""
    span = _current.get()
    return "" if span is None else span.traceparent


def is_sampled() -> bool:
    """Whether the current request is recorded."""
    return _current.get() is not None


def create_tracer(service: str, server_id: str, *, endpoint: str, ratio: float, per_second: float) -> Tracer:
    """The tracer of a process, which sends spans to an OTLP/HTTP endpoint; disabled without one.

    Raises TracingNotInstalled.
    """
    if not endpoint:
        return DISABLED
    try:
        exporter = _create_exporter(endpoint)
    except ImportError:
        raise TracingNotInstalled("install artcafe-common[tracing]") from None
    return Tracer(service, server_id, exporter=exporter, ratio=ratio, per_second=per_second)


def _create_exporter(endpoint: str) -> "SpanExporter":
    import logging

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    # It logs each failed export as an error; the class below logs outages.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    url = endpoint if urlsplit(endpoint).path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"
    otlp = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)

    class Exporter(SpanExporter):
        """OTLP over HTTP; an outage costs the spans of that time, and one line in the log a minute."""

        _logged_at = -LOG_INTERVAL_S

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                result = otlp.export(spans)
            except Exception:  # noqa: BLE001 - whatever it is, the service goes on
                result = SpanExportResult.FAILURE
            if result is not SpanExportResult.SUCCESS and time.monotonic() - self._logged_at > LOG_INTERVAL_S:
                self._logged_at = time.monotonic()
                log.warning("traces_not_exported", spans=len(spans))
            return result

        def shutdown(self) -> None:
            otlp.shutdown()  # type: ignore[no-untyped-call]

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return otlp.force_flush(timeout_millis)

    return Exporter()
