"""Server-sent events, as a browser's EventSource reads them."""

import asyncio
import contextlib
import json

from support.cleanup import close_after_test
from support.waiting import eventually


def parse_events(data):
    """The fields of each event in a text; comments are left out."""
    events = []
    for block in data.decode().split("\n\n"):
        fields = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                value = value.removeprefix(" ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        if fields:
            events.append(fields)
    return events


class EventStream:
    """A response that reads events in the background."""

    def __init__(self, response):
        self.response = response
        self.raw = b""
        self.ended = False
        self._task = asyncio.create_task(self._read())
        close_after_test(self, self.close)

    async def _read(self):
        with contextlib.suppress(Exception):
            async for chunk in self.response.aiter_raw():
                self.raw += chunk
        self.ended = True

    @property
    def events(self):
        """(name, id, decoded data) of each complete event."""
        complete = self.raw[: self.raw.rfind(b"\n\n") + 2]
        return [
            (each.get("event", "message"), each.get("id"), json.loads(each["data"]))
            for each in parse_events(complete)
            if "data" in each
        ]

    def named(self, name):
        return [data for event, _, data in self.events if event == name]

    @property
    def received(self):
        """The data of the messages."""
        return [data["data"] for data in self.named("message")]

    @property
    def last_id(self):
        return [event_id for _, event_id, _ in self.events if event_id is not None][-1]

    async def wait_for(self, *messages, within=5):
        await eventually(lambda: self.received[-1:] == [messages[-1]], within=within, every=0.01)
        assert self.received == list(messages)

    async def wait_ended(self, within=5):
        """Waits for the end; returns the code of the last event."""
        await eventually(lambda: self.ended, within=within, every=0.01)
        name, _, data = self.events[-1]
        return data["code"] if name == "end" else None

    async def close(self):
        self._task.cancel()
        await self.response.aclose()


async def follow(http, channel, last_id=None, **query):
    """Follow a channel with an HTTP client that is authenticated."""
    headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    request = http.build_request(
        "GET", f"/channels/{channel['channel_id']}/events", params=query, headers=headers
    )
    response = await http.send(request, stream=True)
    assert response.status_code == 200, (await response.aread(), response.status_code)
    assert response.headers["content-type"] == "text/event-stream"
    stream = EventStream(response)
    await eventually(lambda: stream.named("subscribed"), every=0.01)
    return stream
