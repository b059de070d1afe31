"""Sessions collect their frame handlers, and dispatch each received frame to one of them."""

import inspect

import msgspec
import pytest

from artcafe_gateway.sessions.agent import AgentSession
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.sessions.dashboard import DashboardSession
from artcafe_gateway.sessions.dispatcher import FrameDispatcher, handles_frame
from artcafe_gateway.wire import agent_frames, frames


class Session(FrameDispatcher):
    def __init__(self):
        self.handled = []

    @handles_frame(frames.Ping)
    async def handle_ping(self, received: frames.Ping) -> None:
        self.handled.append(received)

    @handles_frame(frames.Subscribe)
    async def handle_subscribe(self, received: frames.Subscribe) -> None:
        self.handled.append(received)


async def test_frame_reaches_the_handler_of_its_type():
    session = Session()
    assert Session.received_frames == (frames.Ping, frames.Subscribe)
    for text in (b'{"type":"ping"}', b'{"type":"subscribe","subject":"a"}'):
        await session.dispatch(Session.decoder.decode(text))
    assert session.handled == [frames.Ping(), frames.Subscribe(subject="a")]
    with pytest.raises(msgspec.ValidationError):
        Session.decoder.decode(b'{"type":"publish","subject":"a","data":1}')


async def test_subclass_adds_and_replaces_handlers():
    class Agent(Session):
        @handles_frame(agent_frames.AgentSubscribe)
        async def handle_agent_subscribe(self, _received: agent_frames.AgentSubscribe) -> None:
            self.handled.append("agent")

        @handles_frame(frames.Request)
        async def handle_request(self, _received: frames.Request) -> None:
            self.handled.append("request")

        async def handle_ping(self, _received: frames.Ping) -> None:
            self.handled.append("overridden")

    assert Agent.received_frames == (frames.Ping, agent_frames.AgentSubscribe, frames.Request)
    assert Session.received_frames == (frames.Ping, frames.Subscribe)
    session = Agent()
    for text in (
        b'{"type":"ping"}',
        b'{"type":"subscribe","topic":"a"}',
        b'{"type":"request","id":1,"subject":"a","data":1}',
    ):
        await session.dispatch(Agent.decoder.decode(text))
    assert session.handled == ["overridden", "agent", "request"]


def test_handler_whose_annotation_differs_is_rejected():
    with pytest.raises(TypeError, match=r"Broken\.handle_ping does not take Ping"):

        class Broken(FrameDispatcher):
            @handles_frame(frames.Ping)
            async def handle_ping(self, received: frames.Subscribe) -> None: ...


def test_two_handlers_of_one_tag_are_rejected():
    with pytest.raises(TypeError, match="Broken handles 'subscribe' twice"):

        class Broken(FrameDispatcher):
            @handles_frame(frames.Subscribe)
            async def handle_subscribe(self, received: frames.Subscribe) -> None: ...

            @handles_frame(agent_frames.AgentSubscribe)
            async def handle_agent_subscribe(self, received: agent_frames.AgentSubscribe) -> None: ...


def test_every_frame_has_a_handler():
    declared = {
        kind
        for module in (frames, agent_frames)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, frames.ClientFrame) and kind.__subclasses__() == []
    }
    handled = {
        kind for each in (ClientSession, AgentSession, DashboardSession) for kind in each.received_frames
    }
    # `auth` is part of the handshake, before there is a session.
    assert declared - handled == {frames.Auth}
