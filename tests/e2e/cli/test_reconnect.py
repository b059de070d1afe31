"""`artcafe sub` and `artcafe pub` when a server is unreachable, busy or restarted."""

import asyncio
import json

import pytest
from websockets.asyncio.server import serve

from support.actors import User
from support.cli import Terminal, client_environ
from support.waiting import eventually


async def test_sub_misses_no_channel_message_while_disconnected(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    terminal = await Terminal.signed_in(tenant, tmp_path)
    environ = client_environ(await tenant.create_client())
    channel = (await tenant.create_channel("kept"))["channel_id"]
    arguments = ("sub", channel, "--channel", "--last", "0", "--count", "2", "--json")
    subscriber = await (await terminal.start(*arguments, **environ)).wait_for_stderr("listening")
    assert (await terminal.run("pub", channel, "1", "--channel", **environ)).code == 0
    await separate_stack.supervisor.stop("gateway")
    await subscriber.wait_for_stderr("retrying in")
    assert (await terminal.run("pub", channel, "2", "--channel", "--nats", **environ)).code == 0
    separate_stack.start("gateway")
    result = await subscriber.wait()
    assert result.code == 0, result.err
    assert [message["data"] for message in result.lines] == [1, 2]


async def test_unreachable_servers_exit_with_5(terminal, tenant):
    client = await tenant.create_client()
    environ = client_environ(client)
    result = await terminal.run("status", "--api", "http://127.0.0.1:1")
    assert result.code == 5
    assert result.err.count("\n") == 1
    assert (await terminal.run("pub", "x", "1", "--ws", "ws://127.0.0.1:1", **environ)).code == 5
    assert (await terminal.run("sub", "x", "--ws", "ws://127.0.0.1:1", **environ)).code == 5
    assert (
        await terminal.run("pub", "x", "1", "--nats", "--nats-url", "nats://127.0.0.1:1", **environ)
    ).code == 5


async def test_busy_server_is_retried_after_its_delay(terminal, tenant):
    client = await tenant.create_client()
    connected_at = []

    async def reject_first_connection(ws):
        connected_at.append(asyncio.get_running_loop().time())
        if len(connected_at) == 1:
            await ws.send(
                json.dumps({"type": "error", "code": "server_busy", "message": "x", "retry_after_ms": 2500})
            )
            await ws.close(1013, "server_busy")
            return
        await ws.send(json.dumps({"type": "challenge", "nonce": "n"}))
        assert json.loads(await ws.recv())["type"] == "auth"
        await ws.send(json.dumps({"type": "welcome", "heartbeat_interval_s": 30}))
        subscribe = json.loads(await ws.recv())
        await ws.send(json.dumps({"type": "subscribed", "id": subscribe["id"]}))
        await ws.send(
            json.dumps({"type": "message", "subject": "x", "data": 1, "timestamp": "2026-01-01T00:00:00Z"})
        )
        await ws.wait_closed()

    async with serve(reject_first_connection, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        result = await terminal.run(
            "sub", "x", "--count", "1", "--json", "--ws", url, **client_environ(client)
        )
    assert result.code == 0, result.err
    assert "retrying in 2.5 s" in result.err
    assert [message["data"] for message in result.lines] == [1]
    assert connected_at[1] - connected_at[0] >= 2.5


async def test_restarting_server_names_the_delay(terminal, tenant):
    client = await tenant.create_client()
    connected_at = []

    async def restart_after_first_message(ws):
        connected_at.append(asyncio.get_running_loop().time())
        await ws.send(json.dumps({"type": "challenge", "nonce": "n"}))
        assert json.loads(await ws.recv())["type"] == "auth"
        await ws.send(json.dumps({"type": "welcome", "heartbeat_interval_s": 30}))
        subscribe = json.loads(await ws.recv())
        await ws.send(json.dumps({"type": "subscribed", "id": subscribe["id"]}))
        message = {"type": "message", "subject": "x", "timestamp": "2026-01-01T00:00:00Z"}
        await ws.send(json.dumps({**message, "data": len(connected_at)}))
        if len(connected_at) == 1:
            await ws.send(json.dumps({"type": "reconnect", "retry_after_ms": 2500}))
            await ws.close(1012, "restarting")
        await ws.wait_closed()

    async with serve(restart_after_first_message, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        result = await terminal.run(
            "sub", "x", "--count", "2", "--json", "--ws", url, **client_environ(client)
        )
    assert result.code == 0, result.err
    assert "retrying in 2.5 s" in result.err
    assert [message["data"] for message in result.lines] == [1, 2]
    assert connected_at[1] - connected_at[0] >= 2.5


@pytest.mark.parametrize("transport", [[], ["--nats"]], ids=["websocket", "nats"])
async def test_sub_reconnects_after_a_restart(separate_stack, tmp_path, transport):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    terminal = await Terminal.signed_in(tenant, tmp_path)
    client = await tenant.create_client()
    environ = client_environ(client)
    subscriber = await terminal.start("sub", "x", "--count", "1", "--json", *transport, **environ)
    await subscriber.wait_for_stderr("listening")
    subscriber.stderr_text = ""
    separate_stack.supervisor.kill("nats" if transport else "gateway")
    await subscriber.wait_for_stderr("retrying in")
    await subscriber.wait_for_stderr("listening")

    async def publish():
        return (await terminal.run("pub", "x", "back", **environ)).code == 0

    await eventually(publish, within=30)
    result = await subscriber.wait()
    assert result.code == 0, result.err
    assert result.lines[0]["data"] == "back"
