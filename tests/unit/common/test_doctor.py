"""What the doctor concludes from what it reads."""

import asyncio
import ssl
import time

import pytest

from artcafe_common.cli.doctor_certificates import check_certificates
from artcafe_common.cli.doctor_clocks import ClockOffsets, check_clocks
from artcafe_common.cli.doctor_instances import check_versions
from artcafe_common.cli.doctor_results import ok
from artcafe_common.cli.doctor_sentinel import conclude
from artcafe_common.cli.doctor_streams import check_servers, check_storage, check_streams
from artcafe_common.clock import now
from artcafe_common.contracts.broker import (
    BrokerReport,
    BrokerServer,
    ConsumerState,
    StreamState,
    TenantStreams,
)
from artcafe_common.sentinel_url import parse_sentinel_url
from artcafe_common.storage.sentinels import SentinelReport
from support.certificates import create_certificate


def report(**parts):
    return BrokerReport(read_at=now(), **parts)


def statuses(results):
    return [each.status for each in results]


def test_slow_response_is_no_wrong_clock():
    clocks, at = ClockOffsets(), time.time()
    # The response took 10 s; the server's clock, read at its beginning or end, is right.
    clocks.record("first", at - 10, at - 10)
    clocks.record("last", at, at - 10)
    clocks.record_date("date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at - 9)), at - 10)
    assert statuses(check_clocks(clocks.by_server)) == ["ok"]


@pytest.mark.parametrize(
    ("offset", "status"), [(3, "warn"), (-3, "warn"), (60, "fail"), (-60, "fail"), (1, "ok")]
)
def test_wrong_clock_is_reported(offset, status):
    clocks, at = ClockOffsets(), time.time()
    clocks.record("server", at + offset, at)
    assert statuses(check_clocks(clocks.by_server)) == [status]


def test_missing_server_and_missing_leader_of_the_cluster_are_reported():
    servers = [BrokerServer(name=name, cluster_size=3, meta_leader="n1") for name in ("n1", "n2", "n3")]
    assert statuses(check_servers(report(servers=servers))) == ["ok"]
    (missing,) = check_servers(report(servers=servers[:2]))
    assert (missing.status, missing.detail) == ("fail", "2 of 3 nats-servers answer: n1, n2")
    headless = [BrokerServer(name=name, cluster_size=3) for name in ("n1", "n2", "n3")]
    assert statuses(check_servers(report(servers=headless))) == ["fail"]


@pytest.mark.parametrize(
    ("stream", "status", "text"),
    [
        (StreamState(name="EVENTS", replicas=3, replicas_current=3), "ok", "3 of 3"),
        (StreamState(name="EVENTS", replicas=3, replicas_current=2), "warn", "2 of 3"),
        (StreamState(name="EVENTS", replicas=3, replicas_current=1, has_leader=False), "fail", "no leader"),
        (
            StreamState(name="EVENTS", consumers=[ConsumerState(name="metering", pending=5000)]),
            "warn",
            "5000",
        ),
    ],
)
def test_streams_of_the_platform(stream, status, text):
    first, tenants = check_streams(report(streams=[stream]))
    assert (first.status, tenants.status) == (status, "ok")
    assert text in first.detail


def test_streams_of_organizations():
    headless = TenantStreams(total=9, without_leader=2, missing_replica=1, examples=["A/x"])
    assert statuses(check_streams(report(tenant_streams=headless))) == ["fail"]
    incomplete = TenantStreams(total=9, missing_replica=1, examples=["A/x"])
    (result,) = check_streams(report(tenant_streams=incomplete))
    assert (result.status, "A/x" in result.detail) == ("warn", True)


@pytest.mark.parametrize(
    ("used", "reserved", "status"), [(10, 50, "ok"), (80, 85, "warn"), (95, 99, "fail"), (10, 95, "warn")]
)
def test_storage(used, reserved, status):
    server = BrokerServer(
        name="n1", storage_bytes=used, storage_reserved_bytes=reserved, storage_limit_bytes=100
    )
    assert statuses(check_storage(report(servers=[server]))) == [status]


def test_other_numbers_of_replicas_are_reported():
    streams = [StreamState(name="EVENTS", replicas=1, replicas_current=1)]
    tenants = TenantStreams(total=7, other_replicas=2, other_examples=["A/CHANNELS"])
    found = check_streams(report(streams=streams, tenant_streams=tenants, stream_replicas=3))
    assert statuses(found) == ["ok", "warn", "warn", "ok"]
    assert "A/CHANNELS" in found[2].detail
    # Of a metering that does not say how many there should be.
    assert statuses(check_streams(report(streams=streams, tenant_streams=tenants))) == ["ok", "ok"]


def test_several_versions_are_reported():
    def instance(version):
        result = ok("tenancy", "answers")
        return type(result)(check=result.check, status=result.status, detail=result.detail, version=version)

    assert check_versions([instance("1.0"), instance("1.0"), ok("nats", "")]) == []
    assert statuses(check_versions([instance("1.0"), instance("1.1")])) == ["warn"]


@pytest.mark.parametrize(("days", "status"), [(365, "ok"), (10, "warn"), (1, "fail"), (-1, "fail")])
async def test_certificate_is_checked_before_it_expires(tmp_path, monkeypatch, days, status):
    certificate, key = create_certificate(tmp_path, "localhost", days=days)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        (result,) = await check_certificates([f"https://localhost:{port}/api", "nats://127.0.0.1:1"])
    assert result.status == status, result.detail
    assert f"localhost:{port}" in result.detail


async def test_untrusted_certificate_fails(tmp_path):
    certificate, key = create_certificate(tmp_path, "localhost", days=365)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        (result,) = await check_certificates([f"wss://localhost:{port}"])
    assert (result.status, bool(result.remedy)) == ("fail", True)


async def test_without_tls_there_is_nothing_to_check():
    assert statuses(await check_certificates(["http://127.0.0.1:1", "nats://127.0.0.1:2", "redis://x"])) == [
        "ok"
    ]


SENTINELS = parse_sentinel_url("redis+sentinel://s1,s2/artcafe")
DOWN = "does not answer"


@pytest.mark.parametrize(
    ("differing", "status", "text", "remedy"),
    [
        ({}, "ok", "primary r1:6379", ""),
        ({"failure": "timed out"}, "warn", "s2:26379 (timed out)", "--sentinel"),
        ({"primary": "r2:6379"}, "fail", "several primaries", "sentinel reset artcafe"),
        ({"no_quorum": "NOQUORUM 1 usable"}, "fail", "NOQUORUM 1 usable", "sentinel ckquorum artcafe"),
        # The other one sees the replica.
        ({"replicas": {"r2:6379": DOWN}}, "ok", "r2:6379", ""),
    ],
    ids=["healthy", "silent", "several primaries", "no quorum", "cut off from a replica"],
)
def test_sentinels(differing, status, text, remedy):
    healthy = {"primary": "r1:6379", "replicas": {"r2:6379": ""}}
    reports = [
        SentinelReport(address="s1:26379", **healthy),
        SentinelReport(address="s2:26379", **healthy | differing),
    ]
    (result,) = conclude(SENTINELS, reports)
    assert (result.status, text in result.detail, remedy in result.remedy) == (status, True, True)


@pytest.mark.parametrize("replicas", [{}, {"r2:6379": DOWN}], ids=["none", "down"])
def test_missing_replica_is_reported(replicas):
    reports = [SentinelReport(address=each, primary="r1:6379", replicas=replicas) for each in ("s1", "s2")]
    (result,) = conclude(SENTINELS, reports)
    assert (result.status, bool(result.remedy)) == ("warn", True)


def test_no_sentinel_answers():
    reports = [SentinelReport(address=each, failure="refused") for each in ("s1", "s2")]
    assert statuses(conclude(SENTINELS, reports)) == ["fail"]
