"""Platform streams that are missing or were changed are noticed and restored."""

import json
from types import SimpleNamespace

import pytest

from artcafe_common.contracts.identity.streams import EnsureStream
from artcafe_common.contracts.tenancy.history import ListWantedStreams, WantedStreams
from artcafe_identity import stream_comparison
from artcafe_identity.stream_comparison import StreamComparison, has_replicas, matches
from artcafe_identity.tenant_streams import stream_config
from support.fakes.bus import FakeBus
from support.fakes.ids import TENANT

SUBJECT = f"tenant.{TENANT}.channel.>"
WANTED = EnsureStream(
    tenant_id=TENANT,
    stream="CHANNELS",
    version=3,
    subjects=[SUBJECT],
    max_bytes=64 * 1024**2,
    max_age_s=7 * 24 * 3600,
    max_messages_per_subject=10_000,
)


async def ignore(_streams):
    return None


def reported(**changes):
    """The configuration as the broker reports it: without empty settings, with its defaults."""
    config = json.loads(json.dumps(stream_config(WANTED, replicas=1).as_dict()))
    config |= {"retention": "limits", "max_consumers": -1, "max_msg_size": -1, "num_replicas": 1}
    return {name: value for name, value in {**config, **changes}.items() if value}


def test_stream_as_the_broker_reports_it_matches():
    assert matches(reported(), WANTED)
    # The number of replicas and the metadata say nothing about what is stored.
    assert matches(reported(num_replicas=3, metadata={"artcafe_version": "1"}), WANTED)


@pytest.mark.parametrize(
    "change",
    [
        {"subjects": ["other"]},
        {"max_age": 1},
        {"max_bytes": 1024},
        {"max_msgs_per_subject": 1},
        {"discard": "new"},
        {"republish": {"src": SUBJECT, "dest": "elsewhere.>"}},
        {"allow_direct": False},
        {"sealed": True},
        {"no_ack": True},
        {"sources": [{"name": "MINE"}]},
        {"subject_transform": {"src": ">", "dest": "x.>"}},
    ],
)
def test_changed_stream_does_not_match_whatever_its_metadata_says(change):
    assert not matches(reported(**change, metadata={"artcafe_version": "99"}), WANTED)


@pytest.mark.parametrize(
    ("replicas", "recorded", "setting", "right"),
    [(1, "1", 1, True), (1, "1", 3, False), (3, None, 1, True), (5, "3", 3, True), (1, None, 3, False)],
)
def test_replicas_are_the_settings_or_an_operators(replicas, recorded, setting, right):
    metadata = {"artcafe_replicas": recorded} if recorded else {}
    assert has_replicas(reported(num_replicas=replicas, metadata=metadata), setting) is right


class Broker:
    """The streams of one tenant's account, and how often they were restored."""

    def __init__(self):
        self.streams = {"CHANNELS": reported()}
        self.restored = []

    async def list(self, _system):
        return {"STREAMS": dict(self.streams)}

    async def ensure(self, wanted, *, believe_version):
        assert not believe_version
        self.restored.append(wanted.stream)
        self.streams[wanted.stream] = reported()


@pytest.fixture
def broker(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(stream_comparison, "list_streams", broker.list)
    return broker


@pytest.fixture
def bus():
    return FakeBus({ListWantedStreams: WantedStreams(streams=[WANTED])})


@pytest.fixture
def comparison(broker, bus):
    accounts = SimpleNamespace(index=SimpleNamespace(streams_accounts={TENANT: "STREAMS"}))
    return StreamComparison(
        system=None, bus=bus, accounts=accounts, streams=broker, own_streams=SimpleNamespace(run=ignore)
    )


async def test_deleted_stream_is_restored_after_it_was_missing_twice(broker, comparison):
    broker.streams.clear()
    await comparison.run()
    assert broker.restored == []
    await comparison.run()
    assert broker.restored == ["CHANNELS"]


async def test_changed_stream_is_restored(broker, comparison, bus):
    for _ in range(3):
        await comparison.run()
    assert broker.restored == []
    broker.streams["CHANNELS"] = reported(max_bytes=1024, metadata={"artcafe_version": "99"})
    for _ in range(2):
        await comparison.run()
    assert broker.restored == ["CHANNELS"]
    # Streams that are right and do not change cost no request.
    for _ in range(4):
        await comparison.run()
    asked = bus.count(ListWantedStreams)
    await comparison.run()
    assert bus.count(ListWantedStreams) == asked
