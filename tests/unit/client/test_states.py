"""The connection follows the table: each state and event, over a scripted link."""

import asyncio

import pytest

from artcafe_client.backoff import Backoff
from artcafe_client.connection import Connection, Hooks
from artcafe_client.errors import AccessRevoked, ClientClosed, ConnectionLost
from artcafe_client.states import ACTIONS, EVENTS, PUBLISHING, TRANSITIONS, Action, Event, State
from artcafe_client.transports.link import DialFailed, Loss
from support.waiting import eventually

LOSSES = {
    Event.LOST: Loss(Event.LOST, ConnectionLost("cut")),
    Event.RETRY_LATER: Loss(Event.RETRY_LATER, ConnectionLost("restarting"), 0.02),
    Event.REFUSED: Loss(Event.REFUSED, AccessRevoked("deleted")),
}
PAIRS = [(state, event) for state in State for event in Event]


class ScriptedLink:
    transport = "scripted"
    connection_id = "1"

    def __init__(self, log, *, has_others=False):
        self.log = log
        self.has_others = has_others
        self.lost = asyncio.get_running_loop().create_future()

    async def close(self):
        self.log.append(Action.HANG_UP)
        if not self.lost.done():
            self.lost.set_result(LOSSES[Event.LOST])


class Scenario:
    """A connection whose server answers when the test says so."""

    def __init__(self):
        self.log = []
        self.states = []
        self.delays = []
        self.dials = 0
        self.answer = asyncio.get_running_loop().create_future()
        self.draining = asyncio.Event()
        self.backoff = Backoff(100, 100, uniform=self.choose_delay)
        hooks = Hooks(
            resume=self.resume, stop_receiving=self.stop_receiving, end=self.end, on_state=self.states.append
        )
        self.connection = Connection(self.dial, hooks, self.backoff)

    def choose_delay(self, low, high):
        self.log.append(Action.BACK_OFF)
        assert (low, high) == (0, 100)
        return 0.02

    async def dial(self):
        self.log.append(Action.DIAL)
        self.dials += 1
        self.answer = asyncio.get_running_loop().create_future()
        answer = await self.answer
        if isinstance(answer, Loss):
            raise DialFailed(answer)
        self.link = answer
        return answer

    async def resume(self, link):
        self.log.append(Action.RESUME)

    async def stop_receiving(self):
        self.log.append(Action.STOP_RECEIVING)
        await self.draining.wait()

    def end(self, error):
        self.log.append(Action.END)

    async def reach(self, state):
        """Bring the connection into a state."""
        if state is State.DISCONNECTED:
            return
        self.opening = asyncio.ensure_future(self.connection.open(None))
        self.opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        await eventually(lambda: self.dials)
        if state in (State.CONNECTED, State.DRAINING):
            self.answer.set_result(ScriptedLink(self.log))
            await self.opening
        if state is State.DRAINING:
            self.task = asyncio.ensure_future(self.connection.drain())
            await eventually(lambda: self.connection.state is State.DRAINING)
        if state is State.CLOSED:
            await self.connection.close()
        assert self.connection.state is state
        self.log.clear()
        self.states.clear()

    async def fire(self, event):
        """Make an event happen, as far as it can in this state."""
        state = self.connection.state
        if event is Event.OPEN:
            self.opening = asyncio.ensure_future(self.connection.open(None))
            self.opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        elif event is Event.WELCOME:
            if not self.answer.done() and state is State.CONNECTING:
                self.answer.set_result(ScriptedLink(self.log))
        elif event is Event.DRAIN and state is State.DRAINING:
            self.again = asyncio.ensure_future(self.connection.drain())
        elif event is Event.DRAIN:
            self.draining.set()
            await self.connection.drain()
        elif event is Event.CLOSE:
            await self.connection.close()
        elif state is State.CONNECTING:
            self.answer.set_result(LOSSES[event])
        elif state in (State.CONNECTED, State.DRAINING):
            self.link.lost.set_result(LOSSES[event])


def test_every_state_event_and_action_is_described():
    assert TRANSITIONS.keys() == PUBLISHING.keys() == {*State}
    assert EVENTS.keys() == {*Event}
    assert ACTIONS.keys() == {*Action}
    used = {action for events in TRANSITIONS.values() for each in events.values() for action in each.actions}
    assert used == {*Action}


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda each: each.value)
async def test_event_does_what_the_table_says(state, event):
    scenario = Scenario()
    await scenario.reach(state)
    try:
        await scenario.fire(event)
        transition = TRANSITIONS[state].get(event)
        if transition is None:
            await asyncio.sleep(0.01)
            assert scenario.connection.state is state
            assert scenario.log == []
            return
        await eventually(lambda: transition.to in scenario.states, every=0.001)
        # Failing what is pending is the link's part, and waiting as told leaves no trace here.
        silent = {Action.FAIL_PENDING, Action.WAIT_AS_TOLD}
        if state in (State.DISCONNECTED, State.CONNECTING):
            silent.add(Action.HANG_UP)  # there is no link
        expected = [action for action in transition.actions if action not in silent]
        await eventually(lambda: scenario.log[: len(expected)] == expected, every=0.001)
        if transition.to is State.DISCONNECTED:
            await eventually(lambda: scenario.connection.state is State.CONNECTING)
    finally:
        scenario.draining.set()
        await scenario.connection.close()


async def test_refused_key_is_the_error_of_every_later_call():
    scenario = Scenario()
    await scenario.reach(State.CONNECTED)
    await scenario.fire(Event.REFUSED)
    await eventually(lambda: scenario.connection.state is State.CLOSED)
    with pytest.raises(AccessRevoked):
        scenario.connection.require_link()
    with pytest.raises(AccessRevoked):
        await scenario.connection.wait_link()
    assert scenario.dials == 1


async def test_closed_client_cannot_be_used():
    scenario = Scenario()
    await scenario.reach(State.CLOSED)
    with pytest.raises(ClientClosed):
        scenario.connection.require_link()


def test_delay_is_random_below_a_bound_that_doubles():
    bounds = []

    def choose(low, high):
        bounds.append((low, high))
        return high

    backoff = Backoff(0.5, 4, uniform=choose)
    assert [backoff.next_delay() for _ in range(5)] == [0.5, 1, 2, 4, 4]
    assert {low for low, _ in bounds} == {0}
    assert backoff.next_delay(7.5) == 7.5
    backoff.reset()
    assert backoff.next_delay() == 0.5


@pytest.mark.parametrize(("has_others", "bounds"), [(True, [0.01, 0.01]), (False, [0.01, 0.02])])
async def test_delay_starts_again_sooner_with_other_servers(has_others, bounds, monkeypatch):
    monkeypatch.setattr("artcafe_client.connection.CLUSTER_STABLE_AFTER_S", 0.0)
    scenario, chosen = Scenario(), []
    scenario.backoff.__init__(0.01, 1, uniform=lambda _, high: chosen.append(high) or 0.0)
    opening = asyncio.ensure_future(scenario.connection.open(None))
    try:
        for dials in (1, 2):
            await eventually(lambda dials=dials: scenario.dials == dials)
            scenario.answer.set_result(ScriptedLink(scenario.log, has_others=has_others))
            await eventually(lambda: scenario.connection.state is State.CONNECTED)
            await scenario.fire(Event.LOST)
        await eventually(lambda: len(chosen) == 2)
        assert chosen == bounds
    finally:
        await opening
        await scenario.connection.close()
