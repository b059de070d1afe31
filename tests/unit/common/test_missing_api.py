"""Calls of JetStream's API while the broker replaces an account's claims."""

import asyncio

import nats.errors
import pytest

from artcafe_common.broker import missing_api
from artcafe_common.broker.client import HardenedNats
from support.cleanup import close_after_test
from support.nats_server import running_nats_server


@pytest.fixture(scope="module")
async def server():
    async with running_nats_server() as process:
        yield process


async def connect(server):
    nc = HardenedNats()
    close_after_test(nc, nc.close)
    await nc.connect(server.url)
    return nc


async def test_call_waits_while_the_api_is_missing(server):
    nc = await connect(server)
    calling = asyncio.create_task(nc.request("$JS.API.APPEARS", b"body", timeout=5))
    await asyncio.sleep(3 * missing_api.RETRY_S)

    async def answer(message):
        await message.respond(message.data + b" answered")

    await nc.subscribe("$JS.API.APPEARS", cb=answer)
    assert (await calling).data == b"body answered"


async def test_call_ends_if_the_api_stays_missing(server, monkeypatch):
    nc = await connect(server)
    monkeypatch.setattr(missing_api, "MAX_MISSING_S", 0.1)
    with pytest.raises(nats.errors.NoRespondersError):
        await nc.request("$JS.API.MISSING", timeout=5)
