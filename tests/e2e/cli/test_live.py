"""`artcafe watch`, `bench` and `trace` on a running stack."""

import json

from support.cli import client_environ


async def test_watch_shows_what_happens(terminal, tenant):
    kinds = ("--only", "presence", "--only", "messages")
    changes = await terminal.start("watch", "--only", "activity", "--timeout", "60")
    others, messages = [
        await terminal.start("watch", "orders.>", *options, "--timeout", "60")
        for options in ((*kinds, "--count", "2", "--json"), ("--only", "messages", "--count", "1"))
    ]
    for each in (changes, others, messages):
        await each.wait_for_stderr("watching")
    client = await tenant.create_client("planner")
    socket = await client.connect_websocket()
    await socket.send_and_receive("publish", "published", subject="other", data=0, id=1)
    await socket.send_and_receive("publish", "published", subject="orders.new", data={"n": 1}, id=2)
    result = await messages.wait()
    assert (result.code, result.out.partition("] ")[2]) == (0, f'orders.new from {client.id}: {{"n":1}}\n')
    result = await others.wait()
    assert result.code == 0, result.err
    shown = {each["type"]: each for each in result.lines}
    assert shown["topic_preview_message"]["subject"] == f"{tenant.id}.orders.new"
    assert (shown["presence"]["name"], shown["presence"]["status"]) == ("planner", "online")
    await changes.wait_for_stdout(f"activity client.created success of client:{client.id} by ")
    changes.interrupt()
    assert (await changes.wait()).code == 130


async def test_watch_needs_a_login_and_a_valid_pattern(terminal):
    result = await terminal.run("watch", "a..b", "--timeout", "10")
    assert (result.code, "bad_subject" in result.err) == (1, True)
    assert (await terminal.run("logout")).code == 0
    assert (await terminal.run("watch", "--timeout", "10")).code == 3


async def test_bench_and_trace_over_both_transports(terminal, tenant):
    environ = client_environ(await tenant.create_client())
    channel = (await tenant.create_channel())["channel_id"]
    for transport, arguments in (("websocket", []), ("nats", ["--nats"])):
        for target in ([], [channel, "--channel"]):
            measured = await terminal.run_json(
                "bench", *target, "--messages", "50", "--rate", "500", *arguments, **environ
            )
            assert measured["transport"] == transport
            assert (measured["lost"], measured["doubled"]) == (0, 0)
            assert measured["latencies_ms"]["delivery"]["p50"] > 0
    result = await terminal.run("trace", channel, "--channel", "--data", '{"n": 1}', **environ)
    assert result.code == 0, result.err
    lines = [line.split()[:2] for line in result.out.splitlines()[2:]]
    assert lines == [
        ["published", "websocket"],
        ["stored", "websocket"],
        ["delivered", "websocket"],
        ["delivered", "nats"],
    ]
    traced = await terminal.run_json("trace", "--nats", **environ)
    assert [(each["step"], each["transport"]) for each in traced["steps"]] == [
        ("published", "nats"),
        ("delivered", "nats"),
        ("delivered", "websocket"),
    ]
    assert len(traced["trace_id"]) == 32


async def test_bench_of_a_narrow_client_is_refused(terminal, tenant):
    narrow = await tenant.create_client(permissions={"publish": ["in.>"], "subscribe": ["out.>"]})
    result = await terminal.run("bench", "--messages", "10", **client_environ(narrow))
    assert result.code == 3
    assert "forbidden_subject" in json.dumps(result.err)
