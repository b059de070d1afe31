"""What a subscription takes from the connection, and what it passes on."""

import pytest

from artcafe_client.errors import Gap
from artcafe_client.message import Message
from artcafe_client.receive_queue import ReceiveQueue, Source
from artcafe_client.transports.link import Start, Target


class NoFlow:
    def pause(self, queue):
        pass

    proceed = pause


def subscribe(since):
    source = Source(target=Target("c", is_channel=True), start=Start(since=since), required=True)
    return ReceiveQueue(NoFlow(), source)


def stored(seq):
    return Message("c", b"0", 0.0, seq=seq)


async def test_messages_before_its_place_are_those_of_another_subscription():
    queue = subscribe(6)
    queue.started(2)
    for seq in (3, 5, 6):
        queue.deliver(stored(seq))
    assert (await queue.get()).seq == 6
    assert len(queue) == 0


async def test_history_that_was_lost_is_a_gap_after_which_lower_places_count():
    queue = subscribe(6)
    # The stream ends at 2 now.
    queue.started(2)
    queue.deliver_gap(3, 5)
    queue.deliver(stored(3))
    with pytest.raises(Gap):
        await queue.get()
    assert (await queue.get()).seq == 3


async def test_gap_before_the_first_message():
    queue = subscribe(6)
    queue.started(5)
    queue.deliver_gap(6, 9)
    queue.deliver(stored(10))
    with pytest.raises(Gap):
        await queue.get()
    assert (await queue.get()).seq == 10
    assert queue.start == Start(since=11)
