"""A dashboard believes changes of presence from the platform's own account only."""

import asyncio
import json

import pytest
from nats.js.api import RePublish, StreamConfig
from nats.js.errors import Error as JetStreamError

from support.history import publish
from support.signing_keys import account_of, connect_minted_user
from support.waiting import QUIET_PERIOD_S


async def test_nobody_in_the_account_can_publish_presence(tenant):
    channel, victim = await tenant.create_channel(), await tenant.create_client()
    forged = {"client_id": victim.id, "status": "online", "last_seen": "2026-01-01T00:00:00Z"}
    await publish(tenant, channel, forged)
    dashboard = await tenant.connect_dashboard()
    client = await (await tenant.create_client(permissions={"streams": "manage"})).connect_nats()
    await asyncio.sleep(QUIET_PERIOD_S)
    key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    minted = await connect_minted_user(tenant.stack, await account_of(client), key["nkey_seed"])
    subject = f"tenant.{tenant.id}.presence.{victim.id}"
    payload = json.dumps(forged).encode()
    # Directly; as the answer to a read of a stored message; and by a stream that republishes.
    for nc in (client, minted):
        await nc.publish(subject, payload)
    last = json.dumps({"last_by_subj": channel["subject"]}).encode()
    await client.publish("$JS.PLATFORM.API.DIRECT.GET.CHANNELS", last, reply=subject)
    with pytest.raises(JetStreamError):
        await client.jetstream().add_stream(
            StreamConfig(name="MINE", subjects=["mine"], republish=RePublish(src="mine", dest=subject))
        )
    await client.publish("mine", payload)
    for nc in (client, minted):
        await nc.flush()
    await asyncio.sleep(QUIET_PERIOD_S)
    shown = [frame for frame in dashboard.pending("presence") if frame["client_id"] == victim.id]
    assert shown == []
    async with asyncio.timeout(5):
        await victim.connect_nats()
        assert (await dashboard.receive("presence", client_id=victim.id))["status"] == "online"
