"""Only calls of the JetStream API that can harm nobody are forwarded."""

import json

import pytest

from artcafe_identity.stream_api_checks import CallRefused, check_call
from support.fakes.ids import TENANT


def check(call, body, *, own=True):
    text = body if isinstance(body, str) else json.dumps(body)
    return check_call(call, text.encode(), tenant_id=TENANT, own=own)


def stream(**settings):
    return check("STREAM.CREATE.MINE", {"name": "MINE", **settings})


def consumer(*, own=True, of="MINE", **settings):
    body = {"stream_name": of, "config": settings}
    return json.loads(check(f"CONSUMER.CREATE.{of}", body, own=own).body)["config"]


@pytest.mark.parametrize(
    ("subject", "root"),
    [
        ("jobs.>", "jobs"),
        ("jobs", "jobs"),
        ("agents.task", "agents"),
        (f"{TENANT}.>", None),
        (f"tenant.{TENANT}.channel.*", None),
        (f"agents.{TENANT}.x", None),
        ("$KV.settings.>", None),
        ("$O.files.C.>", None),
    ],
)
def test_stream_stores_subjects_of_its_organization(subject, root):
    assert stream(subjects=[subject]).roots == ({root} if root else set())


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "*.x",
        "$JS.API.>",
        "$SYS.>",
        "_INBOX.>",
        "_heartbeat.>",
        "_GW.>",
        "artcafe.streams.>",
        "tenant.>",
        "tenant.*.channel.x",
        "tenant.01JNB5X8S2Z4T6V8X0A2C4E6G9.channel.x",
        "01JNB5X8S2Z4T6V8X0A2C4E6G9.x",
        "$KV",
        "",
        "a b",
    ],
)
def test_stream_stores_no_other_subject(subject):
    with pytest.raises(CallRefused):
        stream(subjects=["jobs", subject])
    with pytest.raises(CallRefused):
        stream(subjects=["jobs"], subject_transform={"src": "jobs", "dest": subject or "{{wildcard(1)}}.x"})


def test_stream_without_subjects_stores_its_name_as_the_broker_would():
    checked = stream()
    assert json.loads(checked.body)["subjects"] == ["MINE"]
    assert checked.roots == {"MINE"}
    with pytest.raises(CallRefused):
        check("STREAM.CREATE._INBOX", {"name": "_INBOX"})
    assert not stream(mirror={"name": "OTHER"}).roots


@pytest.mark.parametrize(
    "settings",
    [
        {"republish": {"src": "a", "dest": "b"}},
        {"REPUBLISH": {"src": "a", "dest": "b"}},
        {"republi\u017fh": {"src": "a", "dest": "b"}},
        {"mirror": {"name": "CHANNELS", "external": {"api": "$JS.PLATFORM.API"}}},
        {"mirror": {"name": "CHANNELS", "External": {"api": "$JS.PLATFORM.API"}}},
        {"sources": [{"name": "A"}, {"name": "B", "external": {"api": "x", "deliver": "y"}}]},
        {"sources": [{"name": "A", "subject_transforms": [{"src": ">", "dest": "$JS.API.>"}]}]},
        {"Sources": [{"name": "A", "external": {"api": "x"}}]},
        {"allow_msg_schedules": True},
        {"from_the_future": 1},
        {"subjects": "jobs"},
        {"subjects": [1]},
        {"mirror": "A"},
        {"subject_transform": {"src": "a", "dest": 1}},
    ],
)
def test_stream_that_republishes_or_leaves_its_account_is_refused(settings):
    for call in ("STREAM.CREATE.MINE", "STREAM.UPDATE.MINE"):
        with pytest.raises(CallRefused):
            check(call, {"name": "MINE", "subjects": ["jobs"], **settings})


def test_last_of_several_equal_names_counts():
    with pytest.raises(CallRefused):
        check("STREAM.CREATE.MINE", '{"name":"MINE","republish":null,"republish":{"src":"a","dest":"b"}}')
    body = check("STREAM.CREATE.MINE", '{"name":"MINE","subjects":["$JS.API.>"],"subjects":["jobs"]}').body
    assert body.count(b"subjects") == 1


def test_settings_that_are_not_set_pass():
    """Libraries send back what the broker reported."""
    settings = {"republish": None, "allow_msg_schedules": False, "consumer_limits": {}, "sources": []}
    assert stream(subjects=["jobs"], **settings).roots == {"jobs"}


@pytest.mark.parametrize("name", ["CHANNELS", "SUBJECT_01JNB5X8S2Z4T6V8X0A2C4E6G8"])
def test_stream_does_not_have_the_name_of_one_of_the_platform(name):
    with pytest.raises(CallRefused, match="of the platform"):
        check(f"STREAM.CREATE.{name}", {"name": name})


@pytest.mark.parametrize("body", ["", "[]", "{", '"x"', "\ufeff{}", "[" * 100_000])
@pytest.mark.parametrize("call", ["STREAM.CREATE.MINE", "CONSUMER.CREATE.MINE"])
def test_configuration_that_is_no_object_is_refused(call, body):
    with pytest.raises(CallRefused):
        check(call, body)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"headers_only": True},
        {"HEADERS_ONLY": True},
        {"header\u017f_only": True},
        {"deliver_subject": "$JS.API.STREAM.DELETE.X"},
        {"deliver_subject": "_INBOX"},
        {"deliver_subject": f"tenant.{TENANT}.presence.x"},
        {"DELIVER_SUBJECT": "_INBOX.x"},
        {"direct": True},
        {"deliver_subject": 1},
    ],
)
def test_consumer_of_headers_only_or_that_delivers_elsewhere_is_refused(own, settings):
    with pytest.raises(CallRefused):
        consumer(own=own, **settings)


def test_consumer_of_headers_only_of_an_own_bucket_gets_whole_messages():
    assert consumer(of="KV_settings", headers_only=True) == {"headers_only": False}
    with pytest.raises(CallRefused):
        consumer(own=False, of="KV_settings", headers_only=True)


def test_consumer_delivers_to_inboxes():
    assert consumer(deliver_subject="_INBOX.x.1", filter_subject="jobs.>")["deliver_subject"] == "_INBOX.x.1"
    # As libraries send it.
    check("CONSUMER.CREATE.MINE.c.jobs.>", {"stream_name": "MINE", "config": {"filter_subject": "jobs.>"}})


def test_stream_has_the_replicas_of_the_platform():
    body = json.dumps({"name": "MINE", "num_replicas": 1}).encode()
    checked = check_call("STREAM.CREATE.MINE", body, tenant_id=TENANT, own=True, replicas=3)
    assert json.loads(checked.body)["num_replicas"] == 3
