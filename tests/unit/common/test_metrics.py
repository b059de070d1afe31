"""The registry of metrics, the listener, and the merge of workers."""

import asyncio

import pytest

from artcafe_common.latency import CallStatistics, LatencyHistogram
from artcafe_common.metrics.declaration import counter, gauge, histogram
from artcafe_common.metrics.listener import MAX_REQUEST_BYTES, serve_metrics
from artcafe_common.metrics.registry import MetricsRegistry, merge_workers, render
from support.metrics import parse, total

THINGS = counter("things_total", "Things", "kind")
WAITING = gauge("waiting", "Waiting")
SECONDS = histogram("call_seconds", "Calls", "name")


@pytest.fixture
def registry():
    return MetricsRegistry()


def test_values_are_read_when_they_are_rendered(registry):
    counts = {"a": 1}
    registry.register(THINGS, lambda: counts)
    assert total(parse(registry.render().decode()), "things_total", kind="a") == 1
    counts["a"] = 7
    assert total(parse(registry.render().decode()), "things_total", kind="a") == 7


def test_metric_that_cannot_be_read_costs_itself_only(registry):
    registry.register(THINGS, lambda: 1 / 0)
    registry.register(WAITING, lambda: 3)
    samples = parse(registry.render().decode())
    assert total(samples, "waiting") == 3
    assert not any(name == "things_total" for name, _ in samples)


def test_histogram_is_cumulative(registry):
    statistics = CallStatistics()
    for seconds in (0.0005, 0.001, 0.3, 100):
        statistics.record("get", "ok", seconds)
    registry.register(SECONDS, lambda: statistics.seconds)
    samples = parse(registry.render().decode())
    assert total(samples, "call_seconds_bucket", name="get", le="0.001") == 2
    assert total(samples, "call_seconds_bucket", name="get", le="0.5") == 3
    assert total(samples, "call_seconds_bucket", name="get", le="+Inf") == 4
    assert total(samples, "call_seconds_count", name="get") == 4
    assert total(samples, "call_seconds_sum", name="get") == pytest.approx(100.3015)


def test_bound_of_a_bucket_belongs_to_it():
    durations = LatencyHistogram()
    durations.observe(0.001)
    assert durations.buckets[0] == 1


def test_two_metrics_of_one_name_are_refused(registry):
    registry.register(WAITING, lambda: 1)
    with pytest.raises(ValueError, match="waiting"):
        registry.register(WAITING, lambda: 1)


def test_workers_are_merged_into_one_family_with_their_numbers():
    workers = {}
    for worker, value in (("0", 2), ("1", 5)):
        registry = MetricsRegistry()
        registry.register(THINGS, lambda value=value: {"a": value})
        workers[worker] = registry.collect()
    text = render(merge_workers(workers)).decode()
    assert text.count("# TYPE things_total counter") == 1
    assert total(parse(text), "things_total", worker="1", kind="a") == 5
    assert total(parse(text), "things_total") == 7


@pytest.fixture
async def port(registry, unused_tcp_port):
    registry.register(WAITING, lambda: 3)
    async with serve_metrics(registry, "127.0.0.1", unused_tcp_port):
        yield unused_tcp_port


@pytest.fixture
def unused_tcp_port():
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def exchange(port, sent):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return (await asyncio.wait_for(reader.read(), 5)).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()


async def test_listener_answers_metrics_only(port):
    response = await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert response.startswith("HTTP/1.1 200 OK\r\n")
    assert "waiting 3.0" in response
    assert (await exchange(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith("\r\n\r\n")
    for request, status in (
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"\x00\xff\r\n\r\n", 400),
    ):
        assert (await exchange(port, request)).startswith(f"HTTP/1.1 {status} ")


async def test_listener_survives_hostile_peers(port):
    await exchange(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 2 * MAX_REQUEST_BYTES)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    assert "waiting 3.0" in await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    for _, writer in silent:
        writer.close()


async def test_port_in_use_does_not_stop_the_service(registry, port):
    async with serve_metrics(registry, "127.0.0.1", port):
        pass
    assert "waiting 3.0" in await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")


async def test_listener_answers_health_where_the_service_has_one(registry, unused_tcp_port):
    async def health():
        return 503, b'{"status":"unavailable"}'

    async with serve_metrics(registry, "127.0.0.1", unused_tcp_port, health):
        response = await exchange(unused_tcp_port, b"GET /health HTTP/1.1\r\n\r\n")
        assert response.startswith("HTTP/1.1 503 Service Unavailable\r\n")
        assert "application/json" in response
        assert response.endswith('{"status":"unavailable"}')


async def test_listener_without_health_does_not_claim_any(port):
    assert (await exchange(port, b"GET /health HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 404 ")
