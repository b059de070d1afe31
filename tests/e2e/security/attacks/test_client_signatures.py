"""`Artcafe-Signature`: what a client published directly over NATS shows its sender, and nobody can pose as it."""

import time

from artcafe_common.broker.message_signatures import sign_message
from artcafe_common.broker.nkeys import KeyPair
from support.history import read_history
from support.metrics import read_metrics, total
from support.watchers import Watchers


async def test_signed_direct_message_shows_its_sender_everywhere(tenant, other_tenant):
    watchers = await Watchers.connect(tenant)
    subject = watchers.channel["subject"]
    author, forger = await tenant.create_client(), await tenant.create_client()
    foreign = await other_tenant.create_client()
    nc = await author.connect_nats()

    async def see(payload, headers):
        await nc.publish(subject, payload, headers=headers)
        await nc.flush()
        (sender,) = await watchers.see(int(payload))
        return sender

    def sign(client, payload, *, key=None, on=subject, **when):
        return sign_message(KeyPair(key or client.seed), client.id, on, payload, **when)

    assert await see(b"1", sign(author, b"1")) == author.id
    assert await see(b"2", {**sign(author, b"2"), "Lang": "en"}) == author.id
    # Unsigned.
    assert await see(b"3", None) is None
    # Of another payload, another subject, another time.
    assert await see(b"4", sign(author, b"1")) is None
    assert await see(b"5", sign(author, b"5", on=f"{tenant.id}.other")) is None
    now_ms = time.time_ns() // 1_000_000
    assert await see(b"6", sign(author, b"6", time_ms=now_ms - 60_000)) is None
    # In the name of another client, and of one of another organization.
    assert await see(b"7", sign(author, b"7", key=forger.seed)) is None
    assert await see(b"8", sign(foreign, b"8")) is None

    # A replaced key proves nothing any more, what is stored included.
    answer = await tenant.call("POST", f"/clients/{author.id}/regenerate-nkey", 200)
    nc = await forger.connect_nats()
    assert await see(b"9", sign(author, b"9")) is None
    assert await see(b"10", sign(author, b"10", key=answer["nkey_seed"])) == author.id
    stored = (await read_history(tenant, watchers.channel))["messages"]
    assert [message["data"] for message in stored if "from" in message] == [10]
    metrics = await read_metrics(tenant.stack, "gateway")
    for result in ("verified", "invalid", "expired", "unknown_client"):
        assert total(metrics, "artcafe_message_signatures_total", result=result) > 0
