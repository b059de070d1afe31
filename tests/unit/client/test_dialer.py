"""With several servers, the one that accepts the key first is used; one that does not answer holds up nothing."""

import asyncio

import pytest

from artcafe_client import dialer as dialer_module
from artcafe_client.dialer import Dialer
from artcafe_client.error_codes import AuthenticationFailed
from artcafe_client.errors import ConnectionFailed
from artcafe_client.settings import Options, Settings
from artcafe_client.states import Event
from artcafe_client.transports.link import DialFailed, Loss
from support.waiting import eventually

SEED = "SUAGS36JEUBHYJLLBO5WC32QIM2TFNCTY63Z7ASD7S2JGHGTSCDBXG53YM"
FAILED = Loss(Event.LOST, ConnectionFailed("refused"))
REFUSED = Loss(Event.REFUSED, AuthenticationFailed("the key is not valid"))


class Links:
    """What each server does: it accepts after a time, fails with a loss, or never answers (None)."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked, self.closed, self.cancelled = [], [], []

    async def dial(self, server, *_arguments, **_options):
        self.asked.append(server)
        answer = self.answers[server]
        try:
            if isinstance(answer, Loss):
                raise DialFailed(answer)
            await (
                answer.wait()
                if isinstance(answer, asyncio.Event)
                else asyncio.sleep(60 if answer is None else answer)
            )
        except asyncio.CancelledError:
            self.cancelled.append(server)
            raise
        return dialer_module.NatsLink(self, server)


class FakeLink:
    transport = "nats"

    def __init__(self, links, server):
        self._links = links
        self.server = server

    async def close(self):
        self._links.closed.append(self.server)


@pytest.fixture
def make(monkeypatch):
    def make(**answers):
        links = Links(**answers)
        monkeypatch.setattr(dialer_module, "NatsLink", type("NatsLink", (FakeLink,), {"dial": links.dial}))
        monkeypatch.setattr(dialer_module, "NEXT_SERVER_AFTER_S", 0.05)
        monkeypatch.setattr(dialer_module.random, "shuffle", lambda _servers: None)
        settings = Settings(
            client_id="C",
            seed=SEED,
            tenant_id="T",
            nats_url=",".join(answers),
            websocket_url="",
            transport="nats",
        )
        return Dialer(settings, Options(), lambda _error: None), links

    return make


async def test_server_that_does_not_answer_holds_up_nothing(make):
    dialer, links = make(a=None, b=0.01, c=0.01)
    link = await asyncio.wait_for(dialer.dial(), 1)
    assert (link.server, links.asked) == ("b", ["a", "b"])
    await eventually(lambda: links.cancelled == ["a"])


async def test_next_server_is_asked_at_once_after_a_failure(make, monkeypatch):
    dialer, links = make(a=FAILED, b=FAILED, c=0.01)
    monkeypatch.setattr(dialer_module, "NEXT_SERVER_AFTER_S", 60)
    link = await asyncio.wait_for(dialer.dial(), 1)
    assert (link.server, links.asked) == ("c", ["a", "b", "c"])


async def test_first_server_that_accepts_wins_also_if_it_is_slow(make):
    dialer, links = make(a=0.12, b=None, c=None)
    link = await asyncio.wait_for(dialer.dial(), 1)
    assert (link.server, links.asked) == ("a", ["a", "b", "c"])
    await eventually(lambda: links.cancelled == ["b", "c"])


async def test_second_connection_that_is_accepted_is_closed(make):
    accepted = asyncio.Event()
    dialer, links = make(a=accepted, b=accepted)
    dialing = asyncio.ensure_future(dialer.dial())
    await eventually(lambda: links.asked == ["a", "b"])
    accepted.set()
    link = await asyncio.wait_for(dialing, 1)
    await eventually(lambda: links.closed == [{"a": "b", "b": "a"}[link.server]])


async def test_server_of_the_last_connection_comes_last(make):
    dialer, links = make(a=0.0, b=0.0)
    for _ in range(3):
        await dialer.dial()
    assert links.asked == ["a", "b", "a"]


async def test_key_that_is_refused_ends_the_search(make):
    dialer, links = make(a=None, b=REFUSED, c=0.01)
    with pytest.raises(DialFailed) as caught:
        await asyncio.wait_for(dialer.dial(), 1)
    assert caught.value.loss is REFUSED
    assert links.asked == ["a", "b"]


async def test_failure_of_every_server_is_reported(make):
    dialer, _ = make(a=FAILED, b=FAILED)
    with pytest.raises(DialFailed):
        await asyncio.wait_for(dialer.dial(), 1)
