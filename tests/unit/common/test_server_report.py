"""What several servers report on one stream, merged."""

import msgspec

from artcafe_common.broker.server_report import StreamReplica, merge_replicas, problems_of

NAMES = ("n1", "n2", "n3")


def report(leader, **followers):
    """A stream of three replicas as its leader sees it; `followers` maps a name to current, lagging or offline."""
    return msgspec.convert(
        {
            "name": "EVENTS",
            "config": {"num_replicas": 3, "max_bytes": -1},
            "state": {"messages": 5, "bytes": 50},
            "cluster": {
                "leader": leader,
                "replicas": [
                    {"name": name, "current": state == "current", "offline": state == "offline"}
                    for name, state in followers.items()
                ],
            },
            "consumer_detail": [{"name": "metering", "num_pending": 4}],
        },
        StreamReplica,
    )


def test_complete_stream_has_no_problem():
    leader = report("n1", n2="current", n3="current")
    follower = report("n1", n1="current", n3="lagging")
    stream = merge_replicas("A", "EVENTS", {"n2": follower, "n1": leader, "n3": follower})
    assert (stream.leader, stream.replicas, stream.replicas_current) == (True, 3, 3)
    assert stream.max_bytes == 0
    assert problems_of([stream]) == ([], [])


def test_offline_or_lagging_replica_is_missing():
    for state in ("offline", "lagging"):
        stream = merge_replicas("A", "EVENTS", {"n1": report("n1", n2="current", n3=state)})
        assert (stream.leader, stream.replicas_current) == (True, 2)
        assert problems_of([stream]) == ([], [stream])


def test_stream_whose_leader_no_server_is_has_none():
    stream = merge_replicas("A", "EVENTS", {"n2": report("", n1="offline", n3="offline")})
    assert not stream.leader
    assert problems_of([stream]) == ([stream], [])


def test_stream_of_a_single_server_is_complete():
    single = msgspec.convert({"name": "EVENTS", "config": {"num_replicas": 1}}, StreamReplica)
    stream = merge_replicas("A", "EVENTS", {"n1": single})
    assert (stream.leader, stream.replicas_current) == (True, 1)


def test_lag_of_a_consumer_is_what_its_own_leader_reports():
    behind = report("n1", n2="current", n3="current")
    other = msgspec.convert(
        {"name": "EVENTS", "consumer_detail": [{"name": "metering", "num_pending": 90}]}, StreamReplica
    )
    stream = merge_replicas("A", "EVENTS", {"n1": behind, "n2": other})
    assert [(each.name, each.num_pending) for each in stream.consumers] == [("metering", 90)]
