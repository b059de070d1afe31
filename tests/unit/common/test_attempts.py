"""The second attempt of a request whose reply does not come."""

import asyncio

import pytest

from artcafe_common.bus.attempts import MAX_SAVED, SHARE, SecondAttempts, first_reply
from artcafe_common.bus.errors import ServiceUnavailable

PATIENCE_S = 0.02


class Instances:
    """Each attempt goes to the next instance: a delay in seconds, and what it replies with."""

    def __init__(self, *instances):
        self._instances = list(instances)
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


async def test_instance_that_replies_in_time_is_asked_once():
    instances = Instances((0, "reply"), (0, "second"))
    assert await first_reply(instances.attempt, SecondAttempts(), patience_s=PATIENCE_S) == "reply"
    assert instances.attempts == 1


async def test_lost_instance_costs_its_patience_only():
    instances = Instances((60, "lost"), (0, "reply"))
    assert await first_reply(instances.attempt, SecondAttempts(), patience_s=PATIENCE_S) == "reply"
    assert instances.ended == 2


async def test_slow_instance_is_still_heard():
    instances = Instances((0.05, "slow"), (60, "lost"))
    assert await first_reply(instances.attempt, SecondAttempts(), patience_s=PATIENCE_S) == "slow"


async def test_first_error_counts():
    instances = Instances((0.03, ServiceUnavailable("no")), (60, "lost"))
    with pytest.raises(ServiceUnavailable):
        await first_reply(instances.attempt, SecondAttempts(), patience_s=PATIENCE_S)
    assert instances.ended == instances.attempts == 2


async def test_cancelled_call_leaves_no_attempt():
    instances = Instances((60, "lost"), (60, "lost"))
    calling = asyncio.create_task(first_reply(instances.attempt, SecondAttempts(), patience_s=PATIENCE_S))
    await asyncio.sleep(0.1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert instances.ended == instances.attempts == 2


async def test_slow_instances_get_little_more_to_do():
    requests = 200
    instances = Instances(*[(0.01, "slow")] * requests * 2)
    second = SecondAttempts()
    for _ in range(requests):
        assert await first_reply(instances.attempt, second, patience_s=0.001) == "slow"
    assert instances.attempts <= requests + MAX_SAVED + requests * SHARE
