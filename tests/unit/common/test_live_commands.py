"""What `artcafe bench` and `artcafe trace` say of a system, shown on a server in memory."""

import pytest

from artcafe_client.testing import MemoryServer
from artcafe_common.cli.exit_codes import Failure
from artcafe_common.cli.live_bench import Plan, measure
from artcafe_common.cli.message_trace import Target, Tracer


def plan(**changes):
    fields = {"name": "", "is_channel": False, "messages": 60, "size": 100, "window": 10, "rate": 1000}
    return Plan(**{**fields, **changes}).checked()


@pytest.mark.parametrize("is_channel", [False, True])
async def test_bench_measures_rates_and_latencies(is_channel):
    server = MemoryServer()
    name = server.create_channel("news") if is_channel else ""
    made = plan(name=name, is_channel=is_channel)
    result = await measure(server.connect("publisher"), server.connect("subscriber"), made)
    document = result.document
    assert (document["lost"], document["doubled"], result.is_incomplete) == (0, 0, False)
    assert document["acknowledged_per_s"] > 0 < document["delivered_per_s"]
    expected = {"acknowledgement", "delivery"} | (set() if is_channel else {"request"})
    assert document["latencies_ms"].keys() == expected
    assert all(0 <= each["p50"] <= each["p99"] <= each["max"] for each in document["latencies_ms"].values())
    assert len(result.rows) == len(expected)


async def test_bench_counts_what_is_lost(monkeypatch):
    monkeypatch.setattr("artcafe_common.cli.live_bench.DELIVERY_TIMEOUT_S", 0.05)
    server = MemoryServer()
    publisher, subscriber = server.connect("publisher"), server.connect("subscriber")
    elsewhere = server.connect("elsewhere")
    async with elsewhere:
        publish, count = publisher.publish, 0

        async def drop_one(subject, data, **options):
            nonlocal count
            count += 1
            return await (elsewhere.publish("other", 1) if count == 3 else publish(subject, data, **options))

        monkeypatch.setattr(publisher, "publish", drop_one)
        result = await measure(publisher, subscriber, plan())
    assert (result.lost, result.is_incomplete) == (1, True)


def test_bench_names_what_it_costs():
    assert plan(messages=1000).total == 1000 + 500 + 200 + 2
    assert plan(name="c", is_channel=True, messages=10).total == 20
    with pytest.raises(Failure):
        plan(is_channel=True)


async def test_trace_finds_its_message_on_each_way():
    server = MemoryServer()
    channel = server.create_channel("news")
    tracer = Tracer(Target.named(channel, is_channel=True), b'{"n": 1}', 2)
    async with server.connect("other") as other:
        await other.channel(channel).publish("of another trace")
        steps = await tracer.run(
            lambda *, over_nats: server.connect("nats" if over_nats else "websocket"), over_nats=False
        )
    assert [each["step"] for each in steps] == ["published", "stored", "delivered", "delivered"]
    assert all(each["after_ms"] is not None for each in steps)
    assert "seq 2" in steps[0]["detail"]


async def test_trace_says_where_the_message_does_not_arrive(capsys):
    server, elsewhere = MemoryServer(), MemoryServer()

    def connect(*, over_nats):
        return (elsewhere if over_nats else server).connect("tracer")

    steps = await Tracer(Target.named("", is_channel=False), b"1", 0.1).run(connect, over_nats=False)
    assert [(each["step"], each["after_ms"] is None) for each in steps] == [
        ("published", False),
        ("delivered", False),
        ("delivered", True),
    ]

    def connect_one(*, over_nats):
        if over_nats:
            raise Failure("the broker's URL is missing")
        return server.connect("tracer")

    steps = await Tracer(Target.named("x", is_channel=False), b"1", 2).run(connect_one, over_nats=False)
    assert len(steps) == 2
    assert "not followed over nats: the broker's URL is missing" in capsys.readouterr().err
