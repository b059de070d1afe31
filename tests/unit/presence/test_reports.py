"""Presence reports in the messages that clients publish to the platform."""

import json

import pytest

from artcafe_common.clock import new_id
from artcafe_common.contracts.ingest import IngestKind, ingest_subject, verify_origin
from artcafe_presence.records import ReportType
from artcafe_presence.reports import MAX_JSON_BYTES, parse_report

ACCOUNT = "A" + "B" * 55
TENANT, CLIENT = new_id(), new_id()


def taken(ingest_kind, body, **origin):
    info = {"acc": ACCOUNT, "user": CLIENT, "id": 7, "server": "nats-1", "kind": "Client"} | origin
    headers = {"Nats-Request-Info": json.dumps(info)}
    verified = verify_origin(ingest_subject(ACCOUNT, ingest_kind, TENANT, CLIENT), headers)
    return None if verified is None else parse_report(verified, body)


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
        assert (report.type, report.metrics) == (ReportType.METRICS, '{"queue":3}')
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


def test_oversized_fields_are_dropped_or_truncated():
    body = json.dumps({"metadata": {"x": "y" * MAX_JSON_BYTES}, "status": "s" * 1000}).encode()
    report = taken(IngestKind.STATUS, body)
    assert report is not None
    assert report.metadata is None
    assert len(report.status or "") == 64
