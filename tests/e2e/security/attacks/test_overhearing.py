"""A client hears what its subscribe permissions cover: no inboxes of others, and no history by another way."""

import asyncio
import json

import pytest

from support.history import publish, read_history
from support.waiting import QUIET_PERIOD_S

DEAF = {"publish": [">"], "subscribe": []}


class Eavesdropper:
    """A direct connection that subscribes, and what it received."""

    def __init__(self, nc, errors):
        self.nc = nc
        self.errors = errors
        self.received = []

    @classmethod
    async def connect(cls, client, *subjects):
        errors = []

        async def record_error(error):
            errors.append(str(error).lower())

        spy = cls(await client.connect_nats(error_cb=record_error), errors)
        for subject in subjects:
            await spy.nc.subscribe(subject, cb=spy._record)
        await spy.nc.flush()
        return spy

    async def _record(self, message):
        self.received.append(message.data)

    async def heard(self):
        """All messages that arrived within a while."""
        await asyncio.sleep(QUIET_PERIOD_S)
        await self.nc.flush()
        return self.received


async def converse(tenant):
    """A request and its reply on each transport, and a page of history."""
    asker, answerer = await tenant.create_client(), await tenant.create_client()
    asker_nc, answerer_nc = await asker.connect_nats(), await answerer.connect_nats()

    async def answer(message):
        await message.respond(b'"secret"')

    await answerer_nc.subscribe(f"{tenant.id}.ask", cb=answer)
    # nats-py 2.16 may write the first PING before the subscription.
    await answerer_nc.flush()
    await answerer_nc.flush()
    assert (await asker_nc.request(f"{tenant.id}.ask", b"1", timeout=2)).data == b'"secret"'
    socket = await asker.connect_websocket()
    await socket.send(type="request", subject="ask", data=1, id="q")
    assert (await socket.receive("reply", id="q"))["data"] == "secret"
    channel = await tenant.create_channel()
    await publish(tenant, channel, "secret")
    assert len((await read_history(tenant, channel))["messages"]) == 1


@pytest.mark.parametrize("subscribe", [[], ["loop"]])
async def test_client_without_rights_hears_no_inbox(tenant, subscribe):
    client = await tenant.create_client(permissions={"subscribe": subscribe})
    spy = await Eavesdropper.connect(client, "_INBOX.>", "_INBOX.*.*", "_INBOX.*", ">", "*.>")
    await converse(tenant)
    assert await spy.heard() == []
    assert sum("permissions violation" in error for error in spy.errors) == 5


async def test_client_with_everything_cannot_subscribe_to_the_gateways_inboxes(tenant):
    spy = await Eavesdropper.connect(
        await tenant.create_client(), "_GW.>", "_GW.*", "_GW.*.>", "_REPUBLISH.>"
    )
    await converse(tenant)
    assert await spy.heard() == []
    assert sum("permissions violation" in error for error in spy.errors) == 4
    # A wider pattern is filtered.
    everything = await Eavesdropper.connect(await tenant.create_client(), ">")
    await everything.nc.publish("_GW.x", b'"private"')
    await everything.nc.publish("public", b'"public"')
    heard = await everything.heard()
    assert b'"public"' in heard
    assert b'"private"' not in heard


async def test_narrowed_client_has_inboxes_of_its_own(tenant):
    asker = await tenant.create_client(permissions={"publish": ["ask"], "subscribe": ["news"]})
    other = await tenant.create_client(permissions={"subscribe": ["news"]})
    spy = await Eavesdropper.connect(other, "_INBOX.>", f"_INBOX.{asker.id}.>")
    answerer = await (await tenant.create_client()).connect_nats()

    async def answer(message):
        await message.respond(b"secret")

    await answerer.subscribe("ask", cb=answer)
    await answerer.flush()
    prefix = asker.connection["inbox_prefix"]
    nc = await asker.connect_nats(inbox_prefix=prefix.encode())
    assert (await nc.request("ask", b"1", timeout=2)).data == b"secret"
    assert await spy.heard() == []
    assert sum("permissions violation" in error for error in spy.errors) == 2


async def test_client_without_subscribe_rights_reads_no_history(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, "secret")
    client = await tenant.create_client(permissions=DEAF)
    inbox = client.connection["inbox_prefix"]
    spy = await Eavesdropper.connect(client, f"{inbox}.>")
    consumer = {
        "stream_name": "CHANNELS",
        "config": {"deliver_subject": f"{inbox}.push", "ack_policy": "none"},
    }
    for api in ("$JS.API", "$JS.PLATFORM.API"):
        for subject, body in (
            (f"{api}.DIRECT.GET.CHANNELS", {"seq": 1}),
            (f"{api}.DIRECT.GET.CHANNELS.{channel['subject']}", {}),
            (f"{api}.STREAM.MSG.GET.CHANNELS", {"seq": 1}),
            (f"{api}.CONSUMER.CREATE.CHANNELS", consumer),
            (f"{api}.STREAM.CREATE.COPY", {"name": "COPY", "sources": [{"name": "CHANNELS"}]}),
        ):
            await spy.nc.publish(subject, json.dumps(body).encode(), reply=f"{inbox}.answer")
    await spy.nc.flush()
    assert await spy.heard() == []
    assert sum("permissions violation" in error for error in spy.errors) == 10
