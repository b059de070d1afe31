"""Traces over the services, received by OTLP."""

import re

import pytest

from support.actors import User
from support.otlp import running_receiver
from support.waiting import eventually

GATEWAY, TENANCY = "artcafe-gateway", "artcafe-tenancy"
CLIENTS_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
async def traced(new_stack):
    """A stack that traces everything, and the receiver of its spans."""
    async with (
        running_receiver() as receiver,
        new_stack(
            {
                "ARTCAFE_TRACES_ENDPOINT": receiver.url,
                "ARTCAFE_TRACES_RATIO": "1",
                "ARTCAFE_TRACES_PER_SECOND": "1000",
            }
        ) as stack,
    ):
        yield stack, receiver


async def test_request_is_one_trace_from_http_over_nats_to_the_store(traced):
    stack, receiver = traced
    tenant = await (await User.sign_up(stack)).create_organization()
    await tenant.call("POST", "/channels", 201, json={"name": "x"}, headers={"traceparent": CLIENTS_TRACE})
    trace_id = CLIENTS_TRACE.split("-")[1]
    written = await eventually(
        lambda: [
            each
            for each in receiver.find("dynamodb transact_write_items", trace_id=trace_id)
            if receiver.ancestors(each)[-1] == (GATEWAY, "POST /api/v1/channels")
        ],
        within=15,
    )
    assert receiver.ancestors(written[0]) == [
        (TENANCY, "dynamodb transact_write_items"),
        (TENANCY, "CreateChannel"),
        (GATEWAY, "call CreateChannel"),
        (GATEWAY, "POST /api/v1/channels"),
    ]
    (request,) = await eventually(lambda: receiver.find("POST /api/v1/channels", trace_id=trace_id))
    # The caller's own span is above ours.
    assert request.parent_id == CLIENTS_TRACE.split("-")[2]
    assert request.attributes["http.response.status_code"] == 201
    assert request.start <= written[0].start <= written[0].end <= request.end
    # The event of the change is in the same trace, with what handles it.
    consumed = await eventually(
        lambda: receiver.find("ActivityRecorded tenancy", trace_id=trace_id), within=15
    )
    assert consumed[0].service == TENANCY
    # So is every line of the logs about it.
    log = (stack.directory / "logs/gateway.log").read_text()
    assert re.search(
        rf'"traceparent": "00-{trace_id}-[0-9a-f]+-01".*"path": "/api/v1/channels"|'
        rf'"path": "/api/v1/channels".*"traceparent": "00-{trace_id}-[0-9a-f]+-01"',
        log,
    )


async def test_message_is_one_trace_from_publish_to_delivery(traced):
    stack, receiver = traced
    tenant = await (await User.sign_up(stack)).create_organization()
    client = await tenant.create_client()
    publisher, subscriber = await client.connect_websocket(), await client.connect_websocket()
    await subscriber.subscribe(subject="traced")
    await publisher.send_and_receive(
        "publish", "published", subject="traced", data=1, id=1, headers={"traceparent": CLIENTS_TRACE}
    )
    message = await subscriber.receive("message")
    # The client's own header goes through unchanged, the gateway's is not shown.
    assert message["headers"] == {"traceparent": CLIENTS_TRACE}

    def delivered():
        return [
            (published, delivery)
            for published in receiver.find("publish", service=GATEWAY)
            for delivery in receiver.find("deliver", parent_id=published.span_id)
        ]

    ((published, delivery),) = await eventually(delivered, within=15)
    assert published.trace_id == delivery.trace_id
    assert delivery.attributes["artcafe.subscribers"] == 1
    assert published.start <= delivery.start

    channel = await tenant.call("POST", "/channels", 201, json={"name": "y"})
    await subscriber.subscribe(channel=channel["channel_id"])
    await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json={"data": 1})
    await subscriber.receive("message")
    from_rest = await eventually(
        lambda: [
            each
            for each in receiver.find("deliver")
            if (GATEWAY, "POST /api/v1/channels/{channel_id}/messages") in receiver.ancestors(each)
        ],
        within=15,
    )
    assert from_rest


async def test_peers_do_not_decide_what_is_traced(traced):
    stack, receiver = traced
    tenant = await (await User.sign_up(stack)).create_organization()
    client = await tenant.create_client()
    subscriber = await client.connect_websocket()
    await subscriber.subscribe(subject="forged")
    nc = await client.connect_nats()
    forged = "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
    await nc.publish(f"{tenant.id}.forged", b"1", headers={"Artcafe-Trace": forged, "traceparent": forged})
    await nc.flush()
    await subscriber.receive("message")
    # Later messages were exported, this one has no span.
    marker = len(receiver.find("publish"))
    await subscriber.send_and_receive("publish", "published", subject="other", data=1, id=1)
    await eventually(lambda: len(receiver.find("publish")) > marker, within=15)
    assert not [each for each in receiver.spans if each.trace_id == "c" * 32]


async def test_spans_contain_no_secrets_and_no_content(traced):
    stack, receiver = traced
    user = await User.sign_up(stack)
    tenant = await user.create_organization()
    client = await tenant.create_client(name="secret-name")
    await client.connect_nats()
    await eventually(lambda: receiver.find("POST /api/v1/clients"), within=15)
    text = repr([(each.name, each.attributes) for each in receiver.spans])
    for secret in (client.seed, user.token, user.email, "secret-name", tenant.id):
        assert secret not in text
