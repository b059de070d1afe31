"""What a caller does when the reply to its request does not come."""

import asyncio

import pytest

from artcafe_common.bus.attempts import ANSWER_WITHIN_S, Patience, RequestLost, wait_for_reply
from artcafe_common.bus.errors import ServiceUnavailable


class Instances:
    """Each attempt goes to the next instance: a delay in seconds, and what it replies with."""

    def __init__(self, *instances, handled_for=0):
        self._instances = list(instances)
        self._handled_for = handled_for
        self.questions = 0
        self.attempts = 0
        self.ended = 0

    async def attempt(self):
        delay, reply = self._instances[self.attempts]
        self.attempts += 1
        try:
            await asyncio.sleep(delay)
        finally:
            self.ended += 1
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def is_handled(self):
        """Whether an attempt is handled, as it is for the first questions."""
        self.questions += 1
        return self.questions <= self._handled_for

    async def call(self, *, repeat=True, grace_s=0.01):
        return await wait_for_reply(
            self.attempt, self.is_handled, repeat=repeat, patience_s=0.02, grace_s=grace_s
        )


@pytest.mark.parametrize("repeat", [True, False])
async def test_instance_that_replies_in_time_is_not_asked(repeat):
    instances = Instances((0, "reply"))
    assert await instances.call(repeat=repeat) == "reply"
    assert (instances.attempts, instances.questions) == (1, 0)


async def test_repeatable_request_of_a_lost_instance_goes_to_another():
    instances = Instances((60, "lost"), (0, "reply"))
    assert await instances.call() == "reply"
    assert (instances.questions, instances.ended) == (1, 2)


async def test_outcome_of_any_other_request_of_a_lost_instance_is_unknown():
    instances = Instances((60, "lost"))
    with pytest.raises(RequestLost):
        await instances.call(repeat=False)
    assert instances.ended == instances.attempts == 1


@pytest.mark.parametrize("repeat", [True, False])
async def test_slow_instance_is_waited_for(repeat):
    instances = Instances((0.1, "slow"), handled_for=100)
    assert await instances.call(repeat=repeat) == "slow"
    assert instances.attempts == 1
    assert instances.questions >= 2


async def test_reply_that_was_on_its_way_counts():
    instances = Instances((0.04, "reply"))
    assert await instances.call(repeat=False, grace_s=10) == "reply"


async def test_first_attempt_may_still_reply():
    instances = Instances((0.05, "late"), (60, "lost"))
    assert await instances.call(grace_s=10) == "late"


async def test_outcome_of_a_request_that_is_lost_twice_is_unknown():
    instances = Instances((60, "lost"), (60, "lost"))
    with pytest.raises(RequestLost):
        await instances.call()
    assert instances.ended == instances.attempts == 2


async def test_slow_instance_is_waited_for_in_the_second_attempt():
    instances = Instances((60, "lost"), (0.1, "slow"))
    answers = iter([False])

    async def is_handled():
        return next(answers, True)

    instances.is_handled = is_handled
    assert await instances.call() == "slow"


async def test_first_error_counts():
    instances = Instances((0.03, ServiceUnavailable("no")), (60, "lost"))
    with pytest.raises(ServiceUnavailable):
        await instances.call(grace_s=10)
    assert instances.ended == instances.attempts == 2


async def test_cancelled_call_leaves_no_attempt():
    instances = Instances((60, "lost"), (60, "lost"))
    calling = asyncio.create_task(instances.call(grace_s=10))
    await asyncio.sleep(0.1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert instances.ended == instances.attempts == 2


@pytest.mark.parametrize("elapsed_s", [0, 0.4, 0.7])
def test_two_lost_attempts_end_within_the_time_of_their_request(elapsed_s):
    patience = Patience.after(elapsed_s)
    assert patience.may_repeat
    took = patience.reply_s + patience.handled_s + patience.grace_s + patience.handled_s
    assert elapsed_s + took <= ANSWER_WITHIN_S


@pytest.mark.parametrize("elapsed_s", [1, 1.5, 9])
def test_call_that_begins_late_in_its_request_is_made_once_and_has_some_time(elapsed_s):
    patience = Patience.after(elapsed_s)
    assert not patience.may_repeat
    took = patience.reply_s + patience.handled_s + patience.grace_s
    assert 0.2 < took <= max(0.4, ANSWER_WITHIN_S - elapsed_s)
