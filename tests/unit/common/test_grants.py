"""What clients are granted: their patterns, and nothing of the platform's."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.broker.subjects import ForbiddenSubject, covers, resolve
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.clients import Permissions, StreamAccess
from artcafe_common.grants import client_grants, effective_streams, permission_patterns, permitted

TENANT, OTHER, CLIENT = new_id(), new_id(), new_id()
# Every subject that begins with these belongs to the platform.
PLATFORM = [
    "$JS.API.>",
    "$KV.bucket.key",
    "_heartbeat.>",
    "_INBOX.>",
    "artcafe.events.>",
    "ps.>",
    "gw.>",
    "tenant.x",
]


def grants(**permissions):
    return client_grants(TENANT, CLIENT, Permissions(**permissions))


def may(permission, subject):
    """Whether the broker lets a user publish to a subject."""
    allowed = any(covers(pattern, subject) for pattern in permission.allow)
    return allowed and not any(covers(pattern, subject) for pattern in permission.deny)


def words_and_wildcards():
    words = st.lists(st.sampled_from(("a", "b", "*")), min_size=1, max_size=3)
    return st.tuples(words, st.booleans()).map(
        lambda drawn: ".".join([*drawn[0], ">"] if drawn[1] else drawn[0])
    )


@pytest.mark.parametrize("pattern", ["*", "*.x", "*.*", "*.>", "{tid}.>", "{tid}.*", "tenant.{tid}.>"])
def test_leading_wildcard_permission_excludes_platform_subjects(pattern):
    allowed = permission_patterns(TENANT, pattern.format(tid=TENANT))
    for subject in (
        "$JS.API.INFO",
        "_INBOX.x",
        f"_heartbeat.{TENANT}.x",
        "$SYS.x",
        f"agents.{TENANT}.x",
        "x",
    ):
        assert not any(covers(raw, subject) for raw in allowed)


def test_permission_patterns_cover_all_forms():
    assert permission_patterns(TENANT, ">") == (">",)
    assert permission_patterns(TENANT, "x.*") == (f"{TENANT}.x.*", f"tenant.{TENANT}.x.*", "x.*")
    assert permission_patterns(TENANT, f"tenant.{TENANT}.channel.*") == (f"tenant.{TENANT}.channel.*",)
    assert permission_patterns(TENANT, f"agents.{TENANT}.x") == (f"agents.{TENANT}.x",)
    assert permitted(TENANT, ["x.>"], resolve(TENANT, "x.*", wildcards=True).subscribe_subjects)
    assert not permitted(TENANT, ["x.*"], resolve(TENANT, "x.>", wildcards=True).subscribe_subjects)
    assert not permitted(TENANT, [], (f"{TENANT}.x",))
    assert not permitted(TENANT, ["x"], (f"{TENANT}.x", f"{TENANT}.y"))


@given(words_and_wildcards(), st.lists(st.sampled_from(("a", "b")), min_size=1, max_size=3).map(".".join))
def test_permission_allows_the_subjects_its_pattern_matches(pattern, subject):
    publish = resolve(TENANT, subject, wildcards=False).publish_subject
    assert permitted(TENANT, [pattern], (publish,)) == covers(pattern, subject)


@pytest.mark.parametrize("pattern", PLATFORM)
@pytest.mark.parametrize("root", ["", "{tid}.", "tenant.{tid}."])
def test_pattern_of_the_platforms_subjects_grants_nothing(root, pattern):
    pattern = root.format(tid=TENANT) + pattern
    with pytest.raises(ForbiddenSubject):
        permission_patterns(TENANT, pattern)
    stored, empty = grants(publish=[pattern], subscribe=[pattern]), grants(publish=[], subscribe=[])
    assert stored == empty
    assert not permitted(TENANT, [pattern], (pattern,))


@pytest.mark.parametrize(
    "pattern", ["{tid}.{tid}.x", "{tid}.{other}.x", "{tid}.agents.{tid}.x", "{tid}.tenant.{tid}.channel.x"]
)
def test_pattern_is_no_alias_of_another_name(pattern):
    with pytest.raises(ForbiddenSubject):
        permission_patterns(TENANT, pattern.format(tid=TENANT, other=OTHER))


@pytest.mark.parametrize(
    ("permissions", "streams"),
    [
        ({}, "read"),
        ({"publish": []}, "read"),
        ({"subscribe": ["a", ">"]}, "read"),
        ({"subscribe": ["a"]}, "none"),
        ({"subscribe": []}, "none"),
        ({"streams": "none"}, "none"),
        ({"streams": "manage"}, "manage"),
    ],
)
def test_permissions_without_streams_derive_them_from_subscribe(permissions, streams):
    stored = msgspec.json.encode(permissions)
    assert msgspec.json.decode(stored, type=Permissions).streams == streams


@pytest.mark.parametrize(
    ("permissions", "streams"),
    [
        ({}, StreamAccess.READ),
        ({"publish": ["a"]}, StreamAccess.NONE),
        ({"subscribe": ["a"], "streams": "read"}, StreamAccess.NONE),
        ({"subscribe": ["a"], "streams": "manage"}, StreamAccess.NONE),
        ({"streams": "none"}, StreamAccess.NONE),
    ],
)
def test_jetstream_api_needs_all_of_publish_and_subscribe(permissions, streams):
    assert effective_streams(msgspec.convert(permissions, Permissions)) is streams


def test_narrowed_client_has_these_grants_exactly():
    discovery = ["$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>"]
    narrowed = grants(publish=["loop"], subscribe=["loop"])
    assert narrowed.publish.allow == [
        f"{TENANT}.loop",
        f"tenant.{TENANT}.loop",
        "loop",
        f"_heartbeat.{TENANT}.{CLIENT}",
        f"_HEARTBEAT.tenant.{TENANT}.client.{CLIENT}",
        f"_PRESENCE.tenant.{TENANT}.client.{CLIENT}",
        f"_METRICS.tenant.{TENANT}.client.{CLIENT}",
        "_INBOX.>",
        "_GW.>",
        *discovery,
    ]
    assert narrowed.subscribe.allow == [
        f"{TENANT}.loop",
        f"tenant.{TENANT}.loop",
        "loop",
        f"_INBOX.{CLIENT}.>",
        *discovery,
    ]


def test_client_without_permissions_has_its_reports_and_inboxes_only():
    silent = grants(publish=[], subscribe=[])
    assert silent.publish.allow[4:] == ["_INBOX.>", "_GW.>"]
    # For the broker, an empty list would allow everything.
    assert silent.subscribe.allow == [f"_INBOX.{CLIENT}.>"]


BARE = [
    "loop",
    "work.x",
    f"{TENANT}.a",
    f"tenant.{TENANT}.channel.x",
    "_INBOX.x.1",
    "_INBOX_me.1",
    "$SRV.PING",
    f"_heartbeat.{TENANT}.{CLIENT}",
]
READ = [
    "$JS.PLATFORM.API.STREAM.INFO.CHANNELS",
    "$JS.PLATFORM.API.DIRECT.GET.CHANNELS.x",
    "$JS.PLATFORM.API.CONSUMER.CREATE.CHANNELS.c.x",
    "$JS.ACK.CHANNELS.c.1",
]
OWN = ["$JS.API.INFO", "$JS.API.STREAM.CREATE.MINE", "$KV.bucket.key", "$O.store.C.x"]
NEVER = [
    f"tenant.{TENANT}.presence.{CLIENT}",
    f"{TENANT}.presence.{CLIENT}",
    "_REPUBLISH.x",
    "artcafe.ingest.A.heartbeat.x.y",
    "ps.A.ch.x",
    "gw.x",
    "$SYS.REQ.SERVER.PING.CONNZ",
    "$JS.PLATFORM.API.STREAM.UPDATE.CHANNELS",
    "$JS.PLATFORM.API.STREAM.PURGE.CHANNELS",
    "$JS.PLATFORM.API.STREAM.DELETE.CHANNELS",
    "$JS.PLATFORM.API.STREAM.MSG.DELETE.CHANNELS",
    "_R_.x",
]


@pytest.mark.parametrize(
    ("streams", "allowed", "denied"),
    [
        ("none", BARE, [*READ, *OWN, *NEVER]),
        ("read", [*BARE, *READ], [*OWN, *NEVER]),
        ("manage", [*BARE, *READ, *OWN], NEVER),
    ],
)
def test_client_with_everything_publishes_all_but_the_platforms_subjects(streams, allowed, denied):
    publish = grants(streams=StreamAccess(streams)).publish
    assert {subject: may(publish, subject) for subject in allowed + denied} == {
        **dict.fromkeys(allowed, True),
        **dict.fromkeys(denied, False),
    }


@pytest.mark.parametrize("streams", StreamAccess)
def test_no_client_subscribes_to_the_platforms_inboxes_or_to_calls_of_others(streams):
    subscribe = grants(streams=streams).subscribe
    for subject in (
        "_GW.x.1",
        "_REPUBLISH.x",
        "$JS.API.INFO",
        "$JS.ACK.S.c",
        "$SYS.ACCOUNT.A.CONNECT",
        "ps.A.ch.x",
    ):
        assert not may(subscribe, subject)
    for subject in ("loop", f"tenant.{TENANT}.presence.x", "_INBOX.x", "_INBOX_me.x", "$SRV.INFO"):
        assert may(subscribe, subject)
    assert may(subscribe, "$KV.bucket.key") == (streams is StreamAccess.MANAGE)
