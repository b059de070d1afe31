"""A restored stream must have the messages of its snapshot."""

import json
from types import SimpleNamespace

import pytest
from nats.js.errors import APIError

from artcafe_common.broker.stream_snapshots import StreamSnapshot, restore_snapshot


class Broker:
    """Answers a restoration with the state that the stream has then."""

    def __init__(self, **state):
        self._state = state

    async def request(self, subject, payload, **_options):
        if subject.startswith("$JS.API"):
            answer = {"deliver_subject": "deliver"}
        else:
            answer = {} if payload else {"state": self._state}
        return SimpleNamespace(data=json.dumps(answer).encode())


async def restore(**state):
    async def chunks():
        yield b"chunk"

    snapshot = StreamSnapshot(
        config={"name": "S"}, state={"messages": 3, "first_seq": 2, "last_seq": 5}, chunks=chunks()
    )
    return await restore_snapshot(Broker(**state), "S", snapshot)


@pytest.mark.parametrize("newer", [0, 2])
async def test_what_clients_publish_meanwhile_belongs_to_the_stream(newer):
    restored = await restore(messages=3 + newer, first_seq=2, last_seq=5 + newer)
    assert restored.last_seq == 5 + newer


@pytest.mark.parametrize(
    "state",
    [
        {"messages": 2, "first_seq": 2, "last_seq": 5},
        {"messages": 3, "first_seq": 3, "last_seq": 5},
        {"messages": 2, "first_seq": 2, "last_seq": 4},
        {"messages": 3, "first_seq": 2, "last_seq": 6},
        {},
    ],
)
async def test_missing_messages_are_noticed(state):
    with pytest.raises(APIError, match="differs from its snapshot"):
        await restore(**state)
