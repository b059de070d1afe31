"""A request to all servers waits for the last of them, and no longer."""

import time
from types import SimpleNamespace

import msgspec
import nats.errors
import pytest

from artcafe_common.broker import server_requests
from artcafe_common.broker.server_requests import STATISTICS, request_servers
from artcafe_common.bus.errors import ServiceUnavailable

WAIT_S = 0.2


class Cluster:
    """A connection to servers; each tells of `active` servers and replies, unless it is `silent`."""

    is_closed = False

    def __init__(self, names, *, active=None, silent=()):
        self.names, self.silent = names, silent
        self.active = len(names) if active is None else active
        self.servers = self.discovered_servers = names
        self.messages = []

    def new_inbox(self):
        return "inbox"

    async def subscribe(self, _subject):
        return self

    async def unsubscribe(self):
        pass

    async def publish(self, subject, _request, *, reply):
        is_count = subject.endswith(STATISTICS)
        for name in self.names:
            if name in self.silent:
                continue
            statistics = {"server": {"name": name}, "statsz": {"active_servers": self.active}}
            data = msgspec.json.encode(statistics) if is_count else name.encode()
            self.messages.append(SimpleNamespace(subject=reply, data=data))

    async def next_msg(self, timeout):
        if self.messages:
            return self.messages.pop(0)
        self.waited = timeout
        raise nats.errors.TimeoutError


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(server_requests, "FIRST_REPLY_TIMEOUT_S", WAIT_S)


@pytest.mark.parametrize("names", [["n1"], ["n1", "n2", "n3"]])
async def test_replies_of_all_servers_end_the_wait(names):
    cluster = Cluster(names)
    cluster.servers = cluster.discovered_servers = names[:-1]
    began = time.monotonic()
    assert await request_servers(cluster, "CONNZ", b"") == [name.encode() for name in names]
    assert len(await request_servers(Cluster(names), STATISTICS, b"")) == len(names)
    assert not hasattr(cluster, "waited")
    assert time.monotonic() - began < WAIT_S


async def test_server_that_does_not_reply_is_waited_for():
    cluster = Cluster(["n1", "n2", "n3"], silent=["n2"])
    assert await request_servers(cluster, "CONNZ", b"") == [b"n1", b"n3"]
    assert cluster.waited == server_requests.NEXT_REPLY_WAIT_S


async def test_server_that_has_just_joined_a_cluster_does_not_end_the_wait():
    """It knows of no other one yet."""
    cluster = Cluster(["n1"], active=1)
    cluster.servers = ["n1", "n2", "n3"]
    await request_servers(cluster, "CONNZ", b"")
    assert cluster.waited == server_requests.NEXT_REPLY_WAIT_S


async def test_credentials_that_may_not_count_the_servers_wait_for_more():
    cluster = Cluster(["n1", "n2"], active=0)
    assert await request_servers(cluster, "CONNZ", b"") == [b"n1", b"n2"]


async def test_no_reply_is_an_error():
    with pytest.raises(ServiceUnavailable):
        await request_servers(Cluster([]), "CONNZ", b"")
