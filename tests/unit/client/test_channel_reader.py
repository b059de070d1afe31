"""The reader of a channel over direct NATS."""

import asyncio
from types import SimpleNamespace

import pytest

from artcafe_client.transports.channel_reader import ChannelReader


@pytest.mark.parametrize("turns", range(6))
async def test_reader_ends_when_a_message_comes_at_the_same_moment(turns, monkeypatch):
    async def confirm(_subject):
        """Nothing to confirm."""

    reader = ChannelReader(
        SimpleNamespace(is_connected=True), "c", "t.channel.c", SimpleNamespace(room=10), confirm
    )

    async def leave():
        """There is no consumer."""

    monkeypatch.setattr(reader, "_leave", leave)
    # It has asked for as many as it may.
    reader._expected = 1_000_000
    reader._task = asyncio.create_task(reader._run())
    await asyncio.sleep(0.01)
    reader._heard.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(reader.stop(), 5)
