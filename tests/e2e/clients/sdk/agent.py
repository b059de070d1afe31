"""Runs one agent of the published SDK in a separate virtual environment.

It reads commands from standard input and prints events, both as JSON lines. The classes are used as
published. `HeartbeatAgent` needs two shims for current library versions, and a redirect from the
production host, which it has as a constant.
"""

import asyncio
import contextlib
import json
import sys


def print_event(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Plain:
    """`framework.Agent`."""

    def __init__(self, options):
        from framework import Agent

        self.agent = Agent(
            agent_id=options["agent_id"],
            private_key_path=options["key"],
            tenant_id=options["tenant_id"],
            ws_endpoint=options["ws"],
            capabilities=["testing"],
        )
        for name in options["subscribe"]:
            self.agent.on_message(name)(self.on_message)
        self.run = self.agent.run

    async def on_message(self, subject, payload, envelope):
        print_event("received", subject=subject, data=payload, envelope=envelope)

    async def publish(self, name, data):
        await self.agent.publish(name, data)


class Simplified:
    """`framework.core.simplified_agent.SimplifiedAgent`."""

    def __init__(self, options):
        from framework.core.simplified_agent import SimplifiedAgent

        self.names = options["subscribe"]
        self.agent = SimplifiedAgent(
            agent_id=options["agent_id"],
            organization_id=options["tenant_id"],
            private_key_path=options["key"],
            ws_endpoint=options["ws"],
        )
        for name in (*self.names, f"agents.{options['agent_id']}.*", "agents.presence.*"):
            self.agent.on_message(name)(self.on_message)

    async def run(self):
        running = asyncio.ensure_future(self.agent.run_forever())
        while not self.agent.connected and not running.done():
            await asyncio.sleep(0.01)
        for name in (*self.names, "agents.presence.*"):
            await self.agent.subscribe(name)
        await running

    async def on_message(self, subject, data):
        print_event("received", subject=subject, data=data)

    async def publish(self, name, data):
        await self.agent.publish(name, data)


class Heartbeat:
    """`framework.core.heartbeat_agent.HeartbeatAgent`, with its shims."""

    def __init__(self, options):
        import aiohttp
        import websockets.asyncio.client
        from cryptography.hazmat.primitives.asymmetric import rsa, types

        # A class that moved, and a property that websockets 14 removed.
        types.RSAPrivateKey = rsa.RSAPrivateKey
        websockets.asyncio.client.ClientConnection.closed = property(lambda ws: ws.state.name == "CLOSED")
        # Redirects the production host to the test stack.
        get = aiohttp.ClientSession.get
        aiohttp.ClientSession.get = lambda session, url, **more: get(
            session, url.replace("https://api.artcafe.ai", options["api"]), **more
        )
        from framework.core.heartbeat_agent import HeartbeatAgent

        self.agent = HeartbeatAgent(
            agent_id=options["agent_id"],
            private_key_path=options["key"],
            organization_id=options["tenant_id"],
            websocket_url=options["ws"],
            heartbeat_interval=1,
        )
        for name in options["subscribe"]:
            self.agent.on_message(name)(self.on_message)
        self.run = self.agent.run

    async def on_message(self, subject, data):
        print_event("received", subject=subject, data=data)

    async def publish(self, name, data):
        await self.agent.publish(name, data)

    def health(self):
        return self.agent.get_connection_health()


async def main(options):
    kind = {"plain": Plain, "simplified": Simplified, "heartbeat": Heartbeat}[options["kind"]]
    program = kind(options)
    running = asyncio.ensure_future(program.run())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        command = json.loads(line)
        if command["do"] == "publish":
            await program.publish(command["name"], command["data"])
        elif command["do"] == "health":
            print_event("health", **program.health())
        else:
            break
    await program.agent.stop()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    print_event("stopped")


asyncio.run(main(json.loads(sys.argv[1])))
