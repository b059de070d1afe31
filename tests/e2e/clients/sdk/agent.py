"""One agent of the published SDK, told what to do on standard input; runs in an environment of its own.

The classes are used as they were published. `HeartbeatAgent` cannot be imported with today's
libraries as it is, hence its two shims; and it knows the production host only.
"""

import asyncio
import contextlib
import json
import sys


def tell(event, **fields):
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
        for name in options["hear"]:
            self.agent.on_message(name)(self.heard)
        self.run = self.agent.run

    async def heard(self, subject, payload, envelope):
        tell("heard", subject=subject, data=payload, envelope=envelope)

    async def publish(self, name, data):
        await self.agent.publish(name, data)


class Simplified:
    """`framework.core.simplified_agent.SimplifiedAgent`."""

    def __init__(self, options):
        from framework.core.simplified_agent import SimplifiedAgent

        self.hear = options["hear"]
        self.agent = SimplifiedAgent(
            agent_id=options["agent_id"],
            organization_id=options["tenant_id"],
            private_key_path=options["key"],
            ws_endpoint=options["ws"],
        )
        for name in (*self.hear, f"agents.{options['agent_id']}.*", "agents.presence.*"):
            self.agent.on_message(name)(self.heard)

    async def run(self):
        running = asyncio.ensure_future(self.agent.run_forever())
        while not self.agent.connected and not running.done():
            await asyncio.sleep(0.01)
        for name in (*self.hear, "agents.presence.*"):
            await self.agent.subscribe(name)
        await running

    async def heard(self, subject, data):
        tell("heard", subject=subject, data=data)

    async def publish(self, name, data):
        await self.agent.publish(name, data)


class Heartbeat:
    """`framework.core.heartbeat_agent.HeartbeatAgent`, with its shims."""

    def __init__(self, options):
        import aiohttp
        import websockets.asyncio.client
        from cryptography.hazmat.primitives.asymmetric import rsa, types

        # A name that moved, and a property that is gone from websockets 14 on.
        types.RSAPrivateKey = rsa.RSAPrivateKey
        websockets.asyncio.client.ClientConnection.closed = property(lambda ws: ws.state.name == "CLOSED")
        # What DNS does in production.
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
        for name in options["hear"]:
            self.agent.on_message(name)(self.heard)
        self.run = self.agent.run

    async def heard(self, subject, data):
        tell("heard", subject=subject, data=data)

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
        order = json.loads(line)
        if order["do"] == "publish":
            await program.publish(order["name"], order["data"])
        elif order["do"] == "health":
            tell("health", **program.health())
        else:
            break
    await program.agent.stop()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    tell("stopped")


asyncio.run(main(json.loads(sys.argv[1])))
