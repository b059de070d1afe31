"""`artcafe sub` and `artcafe pub` when a server is unreachable, busy or restarted."""

import asyncio
import json

import pytest
from websockets.asyncio.server import serve

from support.actors import User
from support.cli import Terminal, client_environ
from support.waiting import eventually


async def test_nothing_is_missed_while_the_connection_is_broken(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    terminal = await Terminal.signed_in(tenant, tmp_path)
    me = client_environ(await tenant.create_client())
    channel = (await tenant.create_channel("kept"))["channel_id"]
    words = ("sub", channel, "--channel", "--last", "0", "--count", "2", "--json")
    listening = await (await terminal.start(*words, **me)).wait_for_stderr("listening")
    assert (await terminal.run("pub", channel, "1", "--channel", **me)).code == 0
    await separate_stack.supervisor.stop("gateway")
    await listening.wait_for_stderr("again in")
    assert (await terminal.run("pub", channel, "2", "--channel", "--nats", **me)).code == 0
    separate_stack.start("gateway")
    done = await listening.wait()
    assert done.code == 0, done.err
    assert [message["data"] for message in done.lines] == [1, 2]


async def test_nobody_there(terminal, tenant):
    agent = await tenant.create_client()
    me = client_environ(agent)
    done = await terminal.run("status", "--api", "http://127.0.0.1:1")
    assert done.code == 5
    assert done.err.count("\n") == 1
    assert (await terminal.run("pub", "x", "1", "--ws", "ws://127.0.0.1:1", **me)).code == 5
    assert (await terminal.run("sub", "x", "--ws", "ws://127.0.0.1:1", **me)).code == 5
    assert (await terminal.run("pub", "x", "1", "--nats", "--nats-url", "nats://127.0.0.1:1", **me)).code == 5


async def test_a_server_that_is_busy_is_asked_again_when_it_says(terminal, tenant):
    agent = await tenant.create_client()
    visits = []

    async def busy_at_first(ws):
        visits.append(asyncio.get_running_loop().time())
        if len(visits) == 1:
            await ws.send(
                json.dumps({"type": "error", "code": "server_busy", "message": "x", "retry_after_ms": 2500})
            )
            await ws.close(1013, "server_busy")
            return
        await ws.send(json.dumps({"type": "challenge", "nonce": "n"}))
        assert json.loads(await ws.recv())["type"] == "auth"
        await ws.send(json.dumps({"type": "welcome", "heartbeat_interval_s": 30}))
        asked = json.loads(await ws.recv())
        await ws.send(json.dumps({"type": "subscribed", "id": asked["id"]}))
        await ws.send(
            json.dumps({"type": "message", "subject": "x", "data": 1, "timestamp": "2026-01-01T00:00:00Z"})
        )
        await ws.wait_closed()

    async with serve(busy_at_first, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done = await terminal.run("sub", "x", "--count", "1", "--json", "--ws", url, **client_environ(agent))
    assert done.code == 0, done.err
    assert "again in 2.5 s" in done.err
    assert [message["data"] for message in done.lines] == [1]
    assert visits[1] - visits[0] >= 2.5


@pytest.mark.parametrize("how", [[], ["--nats"]], ids=["websocket", "nats"])
async def test_a_broken_connection_is_made_again(separate_stack, tmp_path, how):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    terminal = await Terminal.signed_in(tenant, tmp_path)
    agent = await tenant.create_client()
    me = client_environ(agent)
    listening = await terminal.start("sub", "x", "--count", "1", "--json", *how, **me)
    await listening.wait_for_stderr("listening")
    listening.stderr_text = ""
    separate_stack.supervisor.kill("nats" if how else "gateway")
    await listening.wait_for_stderr("again in")
    await listening.wait_for_stderr("listening")

    async def sent():
        return (await terminal.run("pub", "x", "back", **me)).code == 0

    await eventually(sent, within=30)
    done = await listening.wait()
    assert done.code == 0, done.err
    assert done.lines[0]["data"] == "back"
