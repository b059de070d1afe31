"""When traces begin and continue, and what an outage of the collector costs."""

import asyncio
import threading
import time

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from artcafe_common import tracing
from artcafe_common.bus.caller import CallerContext, child_traceparent, current_caller, set_caller, traced
from artcafe_common.tracing import DISABLED, Tracer, create_tracer
from support.waiting import eventually

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def create(exporter):
    tracers = []

    def create(ratio=1.0, per_second=1000.0):
        tracers.append(Tracer("test", "server", exporter=exporter, ratio=ratio, per_second=per_second))
        return tracers[-1]

    yield create
    for tracer in tracers:
        tracer.close()


def test_without_an_endpoint_nothing_is_traced():
    assert create_tracer("gateway", "s", endpoint="", ratio=1, per_second=1) is DISABLED
    assert DISABLED.begin("x", "server") is None
    assert DISABLED.resume("x", "server", PARENT) is None


def test_traces_begin_at_the_ratio_whatever_the_caller_says(create):
    tracer = create(ratio=0.0)
    assert tracer.begin("x", "server", parent=PARENT) is None
    some = create(ratio=0.5, per_second=1e6)
    begun = [some.begin("x", "server") for _ in range(1000)]
    assert 350 < sum(each is not None for each in begun) < 650


def test_traces_are_bounded(create):
    tracer = create(per_second=5)
    begun = sum(tracer.begin("x", "server") is not None for _ in range(1000))
    assert 100 <= begun <= 110  # the least burst of a bucket
    resumed = sum(tracer.resume("x", "server", PARENT) is not None for _ in range(1000))
    assert 100 <= resumed <= 120


@pytest.mark.parametrize("traceparent", ["", "x", PARENT[:-2] + "00", "00-zz-zz-01"])
def test_only_sampled_traces_are_continued(create, exporter, traceparent):
    tracer = create()
    span = tracer.resume("x", "server", traceparent)
    if span is not None:  # its flags say so, but the ids are none: a trace of its own
        span.end()
        tracer.close()
        assert exporter.get_finished_spans()[0].parent is None


async def test_children_failures_and_headers(create, exporter):
    tracer = create()
    set_caller(CallerContext(request_id="r", traceparent=PARENT))

    def fail(outer):
        assert current_caller().traceparent == outer.traceparent
        with tracing.child("inner", db_system_name="redis") as inner:
            assert child_traceparent(PARENT) == inner.traceparent
        raise LookupError

    outer = tracer.resume("outer", "server", PARENT)
    with pytest.raises(LookupError), traced(outer):
        fail(outer)
    assert child_traceparent(PARENT).endswith("-00")
    assert tracing.current_traceparent() == ""
    tracer.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans["inner"].parent.span_id == spans["outer"].context.span_id
    assert spans["inner"].attributes["db.system.name"] == "redis"
    assert f"{spans['outer'].context.trace_id:032x}" == "a" * 32
    assert spans["outer"].attributes["error.type"] == "LookupError"
    assert not spans["outer"].status.is_ok


async def test_collector_that_is_away_delays_nobody():
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    threads = threading.enumerate()
    tracer = create_tracer("gateway", "s", endpoint=f"http://127.0.0.1:{port}", ratio=1, per_second=1e6)
    began = time.perf_counter()
    for _ in range(5000):
        tracer.begin("x", "server").end()
    assert time.perf_counter() - began < 5
    began = time.perf_counter()
    await tracer.close_within(0.5)
    assert time.perf_counter() - began < 1.5
    # Nothing goes on trying.
    await eventually(lambda: not [each for each in threading.enumerate() if each not in threads])
