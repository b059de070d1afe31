"""Calls of the JetStream API are limited in rate, and fair between the clients of an account."""

import pytest

from artcafe_common import token_bucket
from artcafe_identity.call_queue import CALLS_PER_SECOND, CLIENT_CALLS_PER_SECOND, CallQueue

BURST = 100


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(token_bucket, "time", clock)
    return clock


def take_all(queue):
    taken = []
    while (call := queue.take()) is not None:
        taken.append(call)
    return taken


@pytest.mark.usefixtures("clock")
def test_clients_take_turns():
    queue = CallQueue()
    for number in range(3):
        queue.add("a", f"a{number}", 1)
    queue.add("b", "b0", 1)
    assert take_all(queue) == ["a0", "b0", "a1", "a2"]
    assert not queue


def test_one_client_has_its_own_rate_and_leaves_room_for_others(clock):
    queue = CallQueue()
    for number in range(300):
        queue.add("a", ("a", number), 1)
    assert len(take_all(queue)) == BURST
    clock.now += 1
    queue.add("b", ("b", 0), 1)
    taken = take_all(queue)
    assert len(taken) == CLIENT_CALLS_PER_SECOND + 1
    assert ("b", 0) in taken


def test_account_has_a_rate_for_all_its_clients(clock):
    queue = CallQueue()
    for number in range(600):
        queue.add(f"client {number % 6}", number, 1)
    assert len(take_all(queue)) == BURST
    clock.now += 1
    assert len(take_all(queue)) == CALLS_PER_SECOND


@pytest.mark.usefixtures("clock")
def test_expensive_call_counts_as_several():
    queue = CallQueue()
    for number in range(10):
        queue.add("a", number, 25)
    assert len(take_all(queue)) == BURST // 25
    assert len(queue) == 6
