"""Spans of OpenTelemetry, where it is installed and set up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from artcafe_client.message import Message


class Tracing:
    """Makes a span of each publish, request and answer, and passes the trace on in the header `traceparent`."""

    def __init__(self, enabled: "bool | None" = None) -> None:
        self._trace: Any = None
        if enabled is False:
            return
        try:
            from opentelemetry import propagate, trace
        except ImportError:
            if enabled:
                raise
            return
        # Without a provider of the program's own, spans go nowhere and cost time.
        if enabled or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            self._trace = trace
            self._propagate = propagate
            self._tracer = trace.get_tracer("artcafe_client")

    @property
    def is_enabled(self) -> bool:
        """Whether there are spans."""
        return self._trace is not None

    @contextmanager
    def sending(
        self, operation: str, name: str, headers: "Mapping[str, str] | None"
    ) -> "Iterator[Mapping[str, str] | None]":
        """The span of a publish or a request; yields the headers to send."""
        if self._trace is None:
            yield headers
            return
        kind = self._trace.SpanKind.CLIENT if operation == "request" else self._trace.SpanKind.PRODUCER
        with self._tracer.start_as_current_span(
            f"{operation} {name}", kind=kind, attributes=_attributes(operation, name)
        ):
            carrier = dict(headers or {})
            self._propagate.inject(carrier)
            yield carrier

    @contextmanager
    def handling(self, message: Message) -> Iterator[None]:
        """The span of the handling of a message, as a child of its publish."""
        if self._trace is None:
            yield
            return
        context = self._propagate.extract(message.headers)
        name = message.subject
        with self._tracer.start_as_current_span(
            f"process {name}",
            context=context,
            kind=self._trace.SpanKind.CONSUMER,
            attributes=_attributes("process", name),
        ):
            yield


def _attributes(operation: str, name: str) -> dict[str, str]:
    return {
        "messaging.system": "artcafe",
        "messaging.operation.name": operation,
        "messaging.destination.name": name,
    }
