"""`artcafe pub` and `artcafe sub` over WebSocket and NATS."""

import asyncio
import json

from support.cli import Terminal, client_environ


async def test_names_cannot_steer_the_terminal(terminal, tenant):
    await tenant.call("PUT", f"/accounts/{tenant.id}", 200, json={"description": "x"})
    agent = await tenant.create_client()
    listening = await (
        await terminal.start("sub", "evil", "--count", "1", **client_environ(agent))
    ).wait_for_stderr("listening")
    socket = await agent.connect_websocket()
    await socket.send(type="publish", subject="evil", data="\x1b]0;owned\x07\nsecond line")
    done = await listening.wait()
    assert done.code == 0
    assert "\x1b" not in done.out
    assert done.out.count("\n") == 1


async def test_both_transports_meet(terminal):
    seed = terminal.directory / "bot.seed"
    await terminal.run_json("clients", "create", "bot", "--seed-file", seed)
    listeners = [
        await terminal.start("sub", "hello.>", "--count", "4", "--seed-file", seed, "--json", *how)
        for how in ([], ["--nats"])
    ]
    for each in listeners:
        await each.wait_for_stderr("listening on hello.>")
    sent = [("hello.a", '{"n": 1,\n"m": [null]}', []), ("hello.b", "just text", ["--nats"])]
    for subject, data, how in sent:
        done = await terminal.run_json("pub", subject, data, "--seed-file", seed, *how)
        assert done["published"] == 1
    done = await terminal.run("pub", "hello.c", "--seed-file", seed, stdin='{"from": "stdin"}\n')
    assert done.code == 0, done.err
    assert (await terminal.run("pub", "hello.d", "7", "--text", "--seed-file", seed, "--nats")).code == 0
    for each in listeners:
        done = await each.wait()
        assert done.code == 0, done.err
        assert sorted((m["subject"], json.dumps(m["data"])) for m in done.lines) == [
            ("hello.a", '{"n": 1, "m": [null]}'),
            ("hello.b", '"just text"'),
            ("hello.c", '{"from": "stdin"}'),
            ("hello.d", '"7"'),
        ]
        assert all("timestamp" in message for message in done.lines)
        senders = {message["subject"]: message.get("from") for message in done.lines}
        assert senders["hello.a"]
        assert senders["hello.b"] is None


async def test_a_channel_with_what_it_kept(terminal):
    seed = terminal.directory / "bot.seed"
    await terminal.run_json("clients", "create", "bot", "--seed-file", seed)
    channel = (await terminal.run_json("channels", "create", "news"))["channel_id"]

    async def pub(data, *how):
        done = await terminal.run("pub", channel, data, "--channel", "--seed-file", seed, *how)
        assert done.code == 0, done.err

    for number in (1, 2, 3):
        await pub(number)
    for how in ([], ["--nats"]):
        words = ("sub", channel, "--channel", "--last", "2", "--count", "3", "--seed-file", seed, "--json")
        listening = await (await terminal.start(*words, *how)).wait_for_stderr("listening")
        # The history is read by now, or the message is in it and told once.
        await asyncio.sleep(1)
        await pub("live", *how)
        done = await listening.wait()
        assert done.code == 0, done.err
        assert [message["channel"] for message in done.lines] == [channel] * 3
        assert done.lines[-1]["data"] == "live"
        assert len({json.dumps(message["data"]) + message["timestamp"] for message in done.lines}) == 3
    assert (await terminal.run("sub", "news", "--last", "2", "--seed-file", seed)).code == 2


async def test_many_times(terminal, tenant):
    agent = await tenant.create_client()
    socket = await agent.connect_websocket()
    await socket.subscribe(subject="burst")
    for how in ([], ["--nats"]):
        done = await terminal.run("pub", "burst", "1", "--count", "25", *how, **client_environ(agent))
        assert done.code == 0, done.err
        for _ in range(25):
            await socket.receive("message")


async def test_what_is_not_allowed_is_refused(terminal, tenant):
    narrow = await tenant.create_client(permissions={"publish": ["in.>"], "subscribe": ["out.>"]})
    me = client_environ(narrow)
    for how in ([], ["--nats"]):
        for words in (["pub", "out.x", "1"], ["sub", "in.x", "--timeout", "20"]):
            done = await terminal.run(*words, *how, **me)
            assert done.code == 3, (words, how, done.err)
            assert "forbidden_subject" in done.err
        done = await terminal.run("pub", "a..b", "1", *how, **me)
        assert done.code == 1
        assert "bad_subject" in done.err


async def test_a_key_that_will_not_do(terminal, tenant):
    agent = await tenant.create_client()
    gone = await tenant.create_client()
    await tenant.call("DELETE", f"/clients/{gone.id}", 200)
    for how in (["--client", agent.id], ["--nats"]):
        done = await terminal.run("pub", "x", "1", *how, **client_environ(gone))
        assert done.code == 3, done.err
        assert "authentication_failed" in done.err
        assert gone.seed not in done.err
    assert (await terminal.run("pub", "x", "1", **client_environ(gone))).code == 4
    assert (await terminal.run("pub", "x", "1", ARTCAFE_SEED="SUNONSENSE")).code == 2
    assert (await terminal.run("pub", "x", "1")).code == 2
    # A seed is no argument of any command.
    assert (await terminal.run("pub", "x", "1", "--seed", agent.seed)).code == 2


async def test_without_signing_in(tenant, tmp_path):
    agent = await tenant.create_client()
    there = Terminal(tmp_path, **client_environ(agent))
    websocket = {"ARTCAFE_API": tenant.stack.api, "ARTCAFE_CLIENT": agent.id}
    direct = {"ARTCAFE_NATS_URL": agent.connection["nats_url"], "ARTCAFE_TENANT": tenant.id}
    assert (await there.run("pub", "x", "1", **websocket)).code == 0
    assert (await there.run("pub", "x", "1", "--nats", **direct)).code == 0
    assert (await there.run("pub", "x", "1", "--nats")).code == 2


async def test_time_and_ctrl_c_end_it(terminal, tenant):
    agent = await tenant.create_client()
    me = client_environ(agent)
    for how in ([], ["--nats"]):
        assert (await terminal.run("sub", "quiet", "--timeout", "1", *how, **me)).code == 0
        done = await terminal.run("sub", "quiet", "--timeout", "1", "--count", "1", *how, **me)
        assert done.code == 1
        assert "0 of 1" in done.err
        running = await (await terminal.start("sub", "quiet", *how, **me)).wait_for_stderr("listening")
        running.interrupt()
        done = await running.wait()
        assert (done.code, done.out) == (130, "")


async def test_a_reader_that_leaves_ends_it(terminal, tenant):
    agent = await tenant.create_client()
    for how in ([], ["--nats"]):
        listening = await (
            await terminal.start("sub", "x", "--json", *how, **client_environ(agent))
        ).wait_for_stderr("listening")
        listening.process._transport.get_pipe_transport(1).close()
        socket = await agent.connect_websocket()
        for number in range(3):
            await socket.send_and_receive("publish", "published", subject="x", data=number, id=number)
        async with asyncio.timeout(20):
            assert await listening.process.wait() == 0
        assert "Traceback" not in (await listening.process.stderr.read()).decode()


async def test_a_revoked_client_does_not_come_back(terminal, tenant):
    for how in ([], ["--nats"]):
        agent = await tenant.create_client()
        running = await (await terminal.start("sub", "x", *how, **client_environ(agent))).wait_for_stderr(
            "listening"
        )
        await tenant.call("DELETE", f"/clients/{agent.id}", 200)
        assert (await running.wait()).code == 3
