"""Channels, subjects and their stored messages."""

import json

from support.waiting import eventually


async def publish(tenant, channel, *messages):
    """Publish over REST; returns the response of each message."""
    path = f"/channels/{channel['channel_id']}/messages"
    return [await tenant.call("POST", path, 202, json=message) for message in messages]


async def read_history(tenant, channel, **query):
    """One page of a channel's stored messages."""
    return await tenant.call("GET", f"/channels/{channel['channel_id']}/messages", 200, params=query)


async def wait_until_stored(tenant, channel, data):
    """The sequence number of the channel's last stored message, once it is this one; direct publishers do not know it."""

    async def find():
        # More may have been stored since the page's beginning was looked for.
        last = (await read_history(tenant, channel, last=1))["messages"][-1]
        return last["data"] == data and last["seq"]

    return await eventually(find)


async def list_subscribers(tenant, channel, **query):
    path = f"/channels/{channel['channel_id']}/subscribers"
    return (await tenant.call("GET", path, 200, params=query))["subscribers"]


async def create_subject(tenant, name="Orders", pattern="orders.>", **fields):
    return await tenant.call("POST", "/subjects", 201, json={"name": name, "pattern": pattern, **fields})


async def connect_jetstream(tenant):
    """JetStream of the platform's streams of the tenant."""
    return (await (await tenant.create_client()).connect_nats()).jetstream(domain="PLATFORM", timeout=5)


async def stored_messages(js, subject):
    """The (NATS subject, data) of every message in a subject's stream."""
    state = (await js.stream_info(subject["stream"])).state
    messages = [
        await js.get_msg(subject["stream"], seq) for seq in range(state.first_seq, state.last_seq + 1)
    ]
    return [(message.subject, json.loads(message.data)) for message in messages]


async def stream_holds(js, subject, count):
    """Whether a subject's stream holds `count` messages."""
    return (await js.stream_info(subject["stream"])).state.messages == count
