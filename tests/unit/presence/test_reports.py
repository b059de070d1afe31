"""Presence reports in the messages that clients publish to the platform."""

import json

import pytest

from artcafe_common.clock import new_id
from artcafe_common.contracts.ingest import IngestKind, ingest_subject, verify_origin
from artcafe_presence.records import ReportType
from artcafe_presence.reports import MAX_JSON_BYTES, ReportBuffer, parse_report

ACCOUNT = "A" + "B" * 55
TENANT, CLIENT = new_id(), new_id()


def taken(ingest_kind, body, **origin):
    info = {"acc": ACCOUNT, "user": CLIENT, "id": 7, "server": "nats-1", "kind": "Client"} | origin
    headers = {"Nats-Request-Info": json.dumps(info)}
    verified = verify_origin(ingest_subject(ACCOUNT, ingest_kind, TENANT, CLIENT), headers)
    parsed = None if verified is None else parse_report(verified, verified.sender.user, body)
    return None if parsed is None else parsed.report


def test_heartbeat_with_any_payload_is_accepted():
    for body in (
        b"",
        b"not json",
        b'{"ts": 1.5, "v": "1"}',
        b"[]",
        b'{"status": "\xff"}',
        b'{"metadata":' * 90_000,
    ):
        report = taken(IngestKind.HEARTBEAT, body)
        assert report is not None
        assert (report.type, report.server, report.cid) == (ReportType.HEARTBEAT, "nats-1", 7)


def test_full_heartbeat_has_status_metrics_and_metadata():
    body = json.dumps({"status": "degraded", "metrics": {"cpu": 1}, "metadata": {"v": 2}}).encode()
    report = taken(IngestKind.STATUS, body)
    assert report is not None
    assert (report.status, report.metrics, report.metadata) == ("degraded", '{"cpu":1}', '{"v":2}')


def test_presence_message_connects_or_disconnects():
    going, coming = (
        taken(IngestKind.PRESENCE, f'{{"type": "{t}"}}'.encode()) for t in ("disconnect", "connect")
    )
    assert going is not None
    assert coming is not None
    assert (going.type, coming.type) == (ReportType.DISCONNECT, ReportType.CONNECT)
    assert taken(IngestKind.PRESENCE, b"junk") is None


def test_metrics_are_accepted_bare_or_wrapped():
    for body in (b'{"queue": 3}', b'{"metrics": {"queue": 3}}'):
        report = taken(IngestKind.METRICS, body)
        assert report is not None
        assert (report.type, report.traffic) == (ReportType.TRAFFIC, '{"queue":3}')
        # The metrics of a heartbeat stay.
        assert report.metrics is None
    assert taken(IngestKind.METRICS, b"[1]") is None


@pytest.mark.parametrize(
    "origin",
    [{"user": new_id()}, {"user": "U" + "A" * 55}, {"user": ""}, {"acc": "AX"}, {"kind": "JetStream"}],
)
def test_report_for_another_client_is_ignored(origin):
    assert taken(IngestKind.HEARTBEAT, b"", **origin) is None


def test_report_without_request_info_is_ignored():
    subject = ingest_subject(ACCOUNT, IngestKind.HEARTBEAT, TENANT, CLIENT)
    assert verify_origin(subject, {}) is None
    assert verify_origin(subject, {"Nats-Request-Info": "junk"}) is None
    assert verify_origin("artcafe.ingest.short", {}) is None


def test_oversized_fields_are_dropped():
    body = json.dumps({"metadata": {"x": "y" * MAX_JSON_BYTES}, "metrics": {"a": 1}}).encode()
    report = taken(IngestKind.STATUS, body)
    assert report is not None
    assert (report.metadata, report.metrics) == (None, '{"a":1}')


class StoreWithOddReports:
    """Applies reports; fails as a whole when one of them has the status `critical`, and always if `broken`."""

    def __init__(self):
        self.applied = []
        self.calls = 0
        self.broken = False

    async def apply_reports(self, reports):
        self.calls += 1
        if self.broken or any(report.status == "critical" for report in reports):
            raise ValueError
        self.applied += [report.status for report in reports]
        return 0


def buffer_of(store, statuses):
    reports = ReportBuffer(store, on_unknown_server=lambda: None)
    info = {"acc": ACCOUNT, "user": CLIENT, "id": 7, "server": "nats-1", "kind": "Client"}
    origin = verify_origin(
        ingest_subject(ACCOUNT, IngestKind.STATUS, TENANT, CLIENT), {"Nats-Request-Info": json.dumps(info)}
    )
    for status in statuses:
        reports.receive(origin, CLIENT, json.dumps({"status": status}).encode())
    return reports


async def test_report_that_the_store_rejects_costs_no_other_report():
    store = StoreWithOddReports()
    reports = buffer_of(store, ["busy", "critical", "idle", "away", "critical", "ready"])
    await reports.flush()
    assert store.applied == ["busy", "idle", "away", "ready"]
    assert reports.rejected == 2


async def test_search_for_rejected_reports_is_bounded():
    store = StoreWithOddReports()
    store.broken = True
    reports = buffer_of(store, ["busy"] * 2000)
    await reports.flush()
    assert reports.rejected == 2000
    assert store.calls < 400


async def test_unknown_status_is_ignored_and_counted():
    class Store:
        async def apply_reports(self, reports):
            self.reports = reports
            return 0

    store = Store()
    buffer = ReportBuffer(store, on_unknown_server=lambda: None)
    statuses = ["nonsense", "", "s" * 1000, "\x00", "BUSY", "Online", "degraded", None]
    for status in statuses:
        body = json.dumps({"status": status, "metrics": {"a": 1}}).encode()
        info = {"acc": ACCOUNT, "user": CLIENT, "id": 7, "server": "nats-1", "kind": "Client"}
        headers = {"Nats-Request-Info": json.dumps(info)}
        origin = verify_origin(ingest_subject(ACCOUNT, IngestKind.STATUS, TENANT, CLIENT), headers)
        buffer.receive(origin, CLIENT, body)
    await buffer.flush()
    assert [report.status for report in store.reports] == [*[None] * 4, "busy", "online", "degraded", None]
    # The heartbeats and their metrics count all the same.
    assert {(report.type, report.metrics) for report in store.reports} == {(ReportType.HEARTBEAT, '{"a":1}')}
    assert buffer.ignored_statuses == 4
