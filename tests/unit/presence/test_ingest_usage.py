"""Verified ingest messages are counted for the sender, and published once."""

import json
from dataclasses import dataclass, field

from artcafe_common.account_keys import AccountKeyCache
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.accounts import BrokerAccount
from artcafe_common.contracts.ingest import IngestKind, ingest_subject
from artcafe_presence import ingest_usage
from artcafe_presence.ingest import IngestReceiver
from artcafe_presence.ingest_usage import IngestUsageReporter, header_size

ACCOUNT, OTHER_ACCOUNT = "A" + "B" * 55, "A" + "C" * 55
TENANT, CLIENT = new_id(), new_id()
PLATFORM_KEY = "A" + "E" * 55


@dataclass
class Message:
    subject: str
    data: bytes
    headers: dict = field(default_factory=dict)


class RecordingBus:
    """Records events; fails while `available` is false."""

    def __init__(self):
        self.available = True
        self.events = []

    async def publish(self, event):
        if not self.available:
            raise ServiceUnavailable
        self.events.append(event)


class Identity:
    """Answers FindAccount."""

    async def call(self, command, **_):
        return BrokerAccount(account=command.account, tenant_id=TENANT, platform_key=PLATFORM_KEY)


class Reports:
    """Records the clients whose reports were accepted."""

    def __init__(self):
        self.clients = []

    def receive(self, _origin, client_id, _data):
        self.clients.append(client_id)


def heartbeat(
    data=b"{}",
    *,
    account=ACCOUNT,
    user=CLIENT,
    sender=ACCOUNT,
    kind="Client",
    issuer=PLATFORM_KEY,
    tenant=TENANT,
    **headers,
):
    info = json.dumps(
        {"acc": sender, "user": user, "id": 1, "server": "n", "kind": kind, "issuer_key": issuer}
    )
    subject = ingest_subject(account, IngestKind.HEARTBEAT, tenant, CLIENT)
    return Message(subject, data, {"Nats-Request-Info": info, **headers})


async def receive(reporter, *messages):
    """The clients whose reports were accepted."""
    reports = Reports()
    keys = AccountKeyCache(Identity(), service="presence")
    receiver = IngestReceiver(keys=keys, usage=reporter, reports=reports)
    for message in messages:
        await receiver.receive(message)
        await receiver.resolve()
    return reports.clients


async def published(*messages):
    bus = RecordingBus()
    reporter = IngestUsageReporter(bus)
    await receive(reporter, *messages)
    await reporter.flush()
    return [(e.tenant_id, e.client_id, e.messages, e.bytes_in) for event in bus.events for e in event.entries]


async def test_messages_of_a_client_are_added_up():
    assert await published(heartbeat(b"12"), heartbeat(b"3")) == [(TENANT, CLIENT, 2, 3)]


async def test_headers_count_except_the_brokers_own():
    assert header_size({}) == 0
    assert header_size({"a": "b", "Nats-Request-Info": "{}"}) == len("NATS/1.0\r\na: b\r\n\r\n")
    assert await published(heartbeat(b"12", a="b")) == [(TENANT, CLIENT, 1, 2 + header_size({"a": "b"}))]


async def test_messages_of_a_tenants_own_user_count_for_the_tenant():
    assert await published(heartbeat(b"", user="U" + "A" * 55)) == [(TENANT, "", 1, 0)]


async def test_user_of_another_issuer_is_not_the_client_it_names():
    posing = heartbeat(b"", issuer="A" + "D" * 55)
    assert await published(posing) == [(TENANT, "", 1, 0)]
    assert await receive(IngestUsageReporter(RecordingBus()), posing, heartbeat()) == ["", CLIENT]


async def test_messages_that_name_another_tenant_are_ignored():
    assert await published(heartbeat(tenant=new_id())) == []


async def test_messages_of_unverified_origin_are_ignored():
    unsigned = Message(heartbeat().subject, b"", {})
    assert (
        await published(
            unsigned,
            heartbeat(account=OTHER_ACCOUNT),
            heartbeat(kind="JetStream"),
            Message("artcafe.ingest.x", b""),
        )
        == []
    )


async def test_counts_wait_while_the_broker_is_away_and_are_published_once():
    bus = RecordingBus()
    reporter = IngestUsageReporter(bus)
    bus.available = False
    for _ in range(2):
        await receive(reporter, heartbeat())
        await reporter.flush()
    bus.available = True
    await reporter.flush()
    await reporter.flush()
    assert [event.entries[0].messages for event in bus.events] == [1, 1]
    assert len({event.event_id for event in bus.events}) == 2


async def test_beyond_the_maximum_messages_count_for_the_tenant(monkeypatch):
    monkeypatch.setattr(ingest_usage, "MAX_CLIENTS", 1)
    others = [heartbeat(b"", user=new_id()) for _ in range(3)]
    assert await published(heartbeat(b""), *others) == [(TENANT, CLIENT, 1, 0), (TENANT, "", 3, 0)]
