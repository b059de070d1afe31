"""The command `artcafe dev`."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from artcafe_common.dev.stack import LOOPBACK, STARTUP_ERRORS, Ports, Stack


async def run(directory: Path, port_base: int) -> None:
    """Run a stack until Ctrl-C."""
    for name in ("NO_PROXY", "no_proxy"):  # all servers are on this machine
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOOPBACK)))
    stack = Stack(directory, Ports.from_base(port_base))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        starting = asyncio.create_task(stack.up(lambda text: print(f"ArtCafe PubSub is {text}.", flush=True)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            return
        starting.result()
        print(_summary(stack), flush=True)
        while not stop.is_set():
            stack.write_pids()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(stopping), 2)
    except STARTUP_ERRORS as error:
        sys.exit(f"artcafe dev: {error}")
    finally:
        await stack.down()
    print("Stopped.", flush=True)


def _summary(stack: Stack) -> str:
    e = stack.endpoints
    return f"""
  REST       {e["api"]}          health: {e["api"]}/health
  WebSocket  {e["ws"]}/ws/client/<client_id>   dashboard: {e["ws"]}/ws/dashboard
  NATS       {e["nats"]}   over WebSocket: {e["nats_ws"]}
  sign in    {e["user"]} / {e["password"]}
  endpoints  {stack.directory / "endpoints.json"}
  logs       {stack.directory / "logs"}

It listens on loopback only, and its signing keys are public: never expose it.
Ctrl-C stops everything.
"""
