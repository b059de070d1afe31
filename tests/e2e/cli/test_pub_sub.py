"""`artcafe pub` and `artcafe sub` over WebSocket and NATS."""

import asyncio
import json

from support.cli import Terminal, client_environ


async def test_messages_cannot_contain_terminal_escapes(terminal, tenant):
    await tenant.call("PUT", f"/accounts/{tenant.id}", 200, json={"description": "x"})
    client = await tenant.create_client()
    subscriber = await (
        await terminal.start("sub", "evil", "--count", "1", **client_environ(client))
    ).wait_for_stderr("listening")
    socket = await client.connect_websocket()
    await socket.send(type="publish", subject="evil", data="\x1b]0;owned\x07\nsecond line")
    result = await subscriber.wait()
    assert result.code == 0
    assert "\x1b" not in result.out
    assert result.out.count("\n") == 1


async def test_websocket_and_nats_exchange_messages(terminal):
    seed = terminal.directory / "bot.seed"
    await terminal.run_json("clients", "create", "bot", "--seed-file", seed)
    listeners = [
        await terminal.start("sub", "hello.>", "--count", "4", "--seed-file", seed, "--json", *transport)
        for transport in ([], ["--nats"])
    ]
    for each in listeners:
        await each.wait_for_stderr("listening on hello.>")
    sent = [("hello.a", '{"n": 1,\n"m": [null]}', []), ("hello.b", "just text", ["--nats"])]
    for subject, data, transport in sent:
        result = await terminal.run_json("pub", subject, data, "--seed-file", seed, *transport)
        assert result["published"] == 1
    result = await terminal.run("pub", "hello.c", "--seed-file", seed, stdin='{"from": "stdin"}\n')
    assert result.code == 0, result.err
    assert (await terminal.run("pub", "hello.d", "7", "--text", "--seed-file", seed, "--nats")).code == 0
    for transport, each in zip(("websocket", "nats"), listeners, strict=True):
        result = await each.wait()
        assert result.code == 0, result.err
        assert sorted((m["subject"], json.dumps(m["data"])) for m in result.lines) == [
            ("hello.a", '{"n": 1, "m": [null]}'),
            ("hello.b", '"just text"'),
            ("hello.c", '{"from": "stdin"}'),
            ("hello.d", '"7"'),
        ]
        assert all("timestamp" in message for message in result.lines)
        senders = {message["subject"]: message.get("from") for message in result.lines}
        # Only a gateway can verify the sender.
        assert bool(senders["hello.a"]) is (transport == "websocket")
        assert senders["hello.b"] is None


async def test_sub_prints_stored_messages_of_a_channel_first(terminal):
    seed = terminal.directory / "bot.seed"
    await terminal.run_json("clients", "create", "bot", "--seed-file", seed)
    channel = (await terminal.run_json("channels", "create", "news"))["channel_id"]

    async def pub(data, *transport):
        result = await terminal.run("pub", channel, data, "--channel", "--seed-file", seed, *transport)
        assert result.code == 0, result.err

    for number in (1, 2, 3):
        await pub(number)
    for transport in ([], ["--nats"]):
        arguments = (
            "sub",
            channel,
            "--channel",
            "--last",
            "2",
            "--count",
            "3",
            "--seed-file",
            seed,
            "--json",
        )
        subscriber = await (await terminal.start(*arguments, *transport)).wait_for_stderr("listening")
        # The message arrives live, or as part of the history; in both cases once.
        await asyncio.sleep(1)
        await pub("live", *transport)
        result = await subscriber.wait()
        assert result.code == 0, result.err
        assert [message["channel"] for message in result.lines] == [channel] * 3
        assert result.lines[-1]["data"] == "live"
        assert len({json.dumps(message["data"]) + message["timestamp"] for message in result.lines}) == 3
    assert (await terminal.run("sub", "news", "--last", "2", "--seed-file", seed)).code == 2


async def test_pub_count_publishes_repeatedly(terminal, tenant):
    client = await tenant.create_client()
    socket = await client.connect_websocket()
    await socket.subscribe(subject="burst")
    for transport in ([], ["--nats"]):
        result = await terminal.run(
            "pub", "burst", "1", "--count", "25", *transport, **client_environ(client)
        )
        assert result.code == 0, result.err
        for _ in range(25):
            await socket.receive("message")


async def test_forbidden_and_invalid_subjects_are_rejected(terminal, tenant):
    narrow = await tenant.create_client(permissions={"publish": ["in.>"], "subscribe": ["out.>"]})
    environ = client_environ(narrow)
    for transport in ([], ["--nats"]):
        for arguments in (["pub", "out.x", "1"], ["sub", "in.x", "--timeout", "20"]):
            result = await terminal.run(*arguments, *transport, **environ)
            assert result.code == 3, (arguments, transport, result.err)
            assert "forbidden_subject" in result.err
        result = await terminal.run("pub", "a..b", "1", *transport, **environ)
        assert result.code == 1
        assert "bad_subject" in result.err


async def test_invalid_seeds_are_rejected(terminal, tenant):
    client = await tenant.create_client()
    deleted = await tenant.create_client()
    await tenant.call("DELETE", f"/clients/{deleted.id}", 200)
    for transport in (["--client", client.id], ["--nats"]):
        result = await terminal.run("pub", "x", "1", *transport, **client_environ(deleted))
        assert result.code == 3, result.err
        assert "authentication_failed" in result.err
        assert deleted.seed not in result.err
    assert (await terminal.run("pub", "x", "1", **client_environ(deleted))).code == 4
    assert (await terminal.run("pub", "x", "1", ARTCAFE_SEED="SUNONSENSE")).code == 2
    assert (await terminal.run("pub", "x", "1")).code == 2
    # A seed cannot be passed as an argument.
    assert (await terminal.run("pub", "x", "1", "--seed", client.seed)).code == 2


async def test_pub_needs_no_login(tenant, tmp_path):
    client = await tenant.create_client()
    other_terminal = Terminal(tmp_path, **client_environ(client))
    websocket = {"ARTCAFE_API": tenant.stack.api, "ARTCAFE_CLIENT": client.id}
    direct = {"ARTCAFE_NATS_URL": client.connection["nats_url"], "ARTCAFE_TENANT": tenant.id}
    assert (await other_terminal.run("pub", "x", "1", **websocket)).code == 0
    assert (await other_terminal.run("pub", "x", "1", "--nats", **direct)).code == 0
    assert (await other_terminal.run("pub", "x", "1", "--nats")).code == 2


async def test_sub_ends_on_timeout_and_ctrl_c(terminal, tenant):
    client = await tenant.create_client()
    environ = client_environ(client)
    for transport in ([], ["--nats"]):
        assert (await terminal.run("sub", "quiet", "--timeout", "1", *transport, **environ)).code == 0
        result = await terminal.run("sub", "quiet", "--timeout", "1", "--count", "1", *transport, **environ)
        assert result.code == 1
        assert "0 of 1" in result.err
        running = await (await terminal.start("sub", "quiet", *transport, **environ)).wait_for_stderr(
            "listening"
        )
        running.interrupt()
        result = await running.wait()
        assert (result.code, result.out) == (130, "")


async def test_sub_ends_when_its_output_is_closed(terminal, tenant):
    client = await tenant.create_client()
    for transport in ([], ["--nats"]):
        subscriber = await (
            await terminal.start("sub", "x", "--json", *transport, **client_environ(client))
        ).wait_for_stderr("listening")
        subscriber.process._transport.get_pipe_transport(1).close()
        socket = await client.connect_websocket()
        for number in range(3):
            await socket.send_and_receive("publish", "published", subject="x", data=number, id=number)
        async with asyncio.timeout(20):
            assert await subscriber.process.wait() == 0
        assert "Traceback" not in (await subscriber.process.stderr.read()).decode()


async def test_revoked_client_does_not_reconnect(terminal, tenant):
    for transport in ([], ["--nats"]):
        client = await tenant.create_client()
        running = await (
            await terminal.start("sub", "x", *transport, **client_environ(client))
        ).wait_for_stderr("listening")
        await tenant.call("DELETE", f"/clients/{client.id}", 200)
        assert (await running.wait()).code == 3
