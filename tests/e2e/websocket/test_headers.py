"""Headers of a message reach every kind of reader, whoever published it."""

import asyncio

from support.history import read_history


async def test_headers_reach_every_reader(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    publisher, nc = await client.connect_websocket(), await client.connect_nats()
    live, dashboard = await client.connect_websocket(), await tenant.connect_dashboard()
    name, received = channel["channel_id"], asyncio.Queue()
    await live.subscribe(channel=name)
    await dashboard.send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
    await dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    await nc.subscribe(channel["subject"], cb=received.put)
    await nc.flush()
    headers = {"Trace": 'a "quoted" value', "Lang": "dé"}

    body = {"data": 0, "headers": headers}
    await tenant.call("POST", f"/channels/{name}/messages", 202, json=body)
    await publisher.send_and_receive("publish", "published", channel=name, data=1, headers=headers, id=1)
    await nc.publish(channel["subject"], b"2", headers=headers)
    await nc.flush()
    await publisher.send_and_receive("publish", "published", channel=name, data=3, id=3)
    replayed = await client.connect_websocket()
    await replayed.subscribe(channel=name, since=1)
    stored = (await read_history(tenant, channel))["messages"]
    for number in range(4):
        direct = await asyncio.wait_for(received.get(), 5)
        shown = [
            await live.receive("message"),
            await replayed.receive("message"),
            await dashboard.receive("channel_message"),
            await dashboard.receive("topic_preview_message"),
            stored[number],
        ]
        expected = headers if number < 3 else None
        assert [(each["data"], each.get("headers")) for each in shown] == [(number, expected)] * 5
        assert expected is None or expected.items() <= direct.headers.items()


async def test_headers_of_a_plain_subject_reach_clients_and_agents(tenant):
    client = await tenant.create_client()
    one, nc = await client.connect_websocket(), await client.connect_nats()
    await one.subscribe(subject="plain")
    await nc.publish(f"{tenant.id}.plain", b"1", headers={"A": "b", "Nats-Msg-Id": "x"})
    await nc.flush()
    assert (await one.receive("message"))["headers"] == {"A": "b"}
