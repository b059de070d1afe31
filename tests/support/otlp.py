"""A small OTLP/HTTP receiver."""

import asyncio
import contextlib
import gzip

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from artcafe_common.dev.stack import LOOPBACK


class ReceivedSpan:
    """A span, with its service."""

    def __init__(self, service, span):
        self.service = service
        self.name = span.name
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.kind = span.kind
        self.attributes = {
            each.key: each.value.string_value or each.value.int_value for each in span.attributes
        }
        self.failed = span.status.code == 2

    def __repr__(self):
        return f"{self.service}: {self.name}"


class Receiver:
    """The spans that were exported; `url` is the endpoint."""

    def __init__(self):
        self.spans = []
        self.url = ""

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
                body = await reader.readexactly(int(fields["content-length"]))
                if fields.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                self._add(ExportTraceServiceRequest.FromString(body))
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
                )
                await writer.drain()
        writer.close()

    def _add(self, request):
        for resource in request.resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [ReceivedSpan(attributes["service.name"], span) for span in scope.spans]

    def find(self, name, **wanted):
        """The spans of a name, and of these attributes of a span."""
        return [
            each
            for each in self.spans
            if each.name == name and all(getattr(each, key) == value for key, value in wanted.items())
        ]

    def ancestors(self, span):
        """The names of a span and of those above it in its trace, each with its service."""
        by_id = {each.span_id: each for each in self.spans if each.trace_id == span.trace_id}
        line = []
        while span is not None:
            line.append((span.service, span.name))
            span = by_id.get(span.parent_id)
        return line


@contextlib.asynccontextmanager
async def running_receiver():
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, LOOPBACK, 0)
    receiver.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
