"""While identity or its stores do not answer, a login takes longer; it is not refused."""

import asyncio
import time

import nats
import pytest

from support.actors import User
from support.cleanup import close_after_test
from support.pausing import paused
from support.raw_nats import RawNats

OUTAGE_S = 4


@pytest.fixture(scope="module")
async def outage_stack(new_stack):
    async with new_stack() as stack:
        yield stack


@pytest.fixture
async def client(outage_stack):
    organization = await (await User.sign_up(outage_stack)).create_organization()
    return await organization.create_client()


@pytest.mark.parametrize("away", ["identity", "tenancy", "moto"])
async def test_login_during_an_outage_waits_for_its_end(outage_stack, client, away):
    """An unanswered or failed callout would be an authorization error, which some libraries take for final."""
    async with paused(outage_stack.supervisor.pid(away)):
        began = time.monotonic()
        login = asyncio.create_task(RawNats.connect(client, within=12))
        await asyncio.sleep(OUTAGE_S)
        assert not login.done()
    raw = await login
    assert time.monotonic() - began > OUTAGE_S
    raw.publish(f"{client.tenant.id}.x".encode())
    await raw.ping()


async def test_wrong_key_is_refused_at_once(client, outage_stack):
    raw = await RawNats.open("127.0.0.1", outage_stack.ports.nats)
    began = time.monotonic()
    # The server ends the connection after its error line, which the client may not read any more.
    with pytest.raises(ConnectionError, match=r"Authorization Violation|reset by peer"):
        await raw.log_in(nkey="U" + "A" * 55, sig="x")
    assert time.monotonic() - began < 2


async def test_nats_py_with_defaults_survives_an_absent_identity(outage_stack, client):
    """Identity does not run at all for a while, when a client loses its connection."""
    reconnected = asyncio.Event()

    async def on_reconnect():
        reconnected.set()

    async def ignore(_error):
        return None

    nc = nats.NATS()
    close_after_test(nc, nc.close)
    await nc.connect(
        client.connection["nats_url"],
        nkeys_seed_str=client.seed,
        reconnected_cb=on_reconnect,
        error_cb=ignore,
    )
    await outage_stack.supervisor.stop("identity")
    await nc.force_reconnect()
    await asyncio.sleep(OUTAGE_S)
    outage_stack.start("identity")
    await asyncio.wait_for(reconnected.wait(), 20)
    await nc.flush()
