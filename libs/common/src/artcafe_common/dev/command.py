"""The command `artcafe dev`."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from artcafe_common.dev.stack import LOOPBACK, STARTUP_ERRORS, Ports, Stack

# The stack chooses these: its ports, keys and user pool. It must never listen elsewhere than on loopback.
_OF_THE_STACK = re.compile(
    r"ARTCAFE_(STACK|HOST|PORT|KEYS_DIR|METRICS_(HOST|PORT)|OIDC_\w+|COGNITO_\w+|PUBLIC_\w+_URL|GATEWAY_WORKER(_DIR)?)"
)
# Settings of the command line and of the tests.
_OF_OTHERS = re.compile(
    r"ARTCAFE_(DEV_\w+|TEST_\w+|API|TENANT|CONFIG|EMAIL|PASSWORD|SEED|CLIENT|WS|NATS_URL)"
)


def _service_settings(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The user's settings of the services, and the names of those that the stack sets itself."""
    given = {name: value for name, value in environ.items() if name.startswith("ARTCAFE_")}
    ours = {name: value for name, value in given.items() if not _OF_OTHERS.fullmatch(name)}
    ignored = [name for name in ours if _OF_THE_STACK.fullmatch(name)]
    return {name: value for name, value in ours.items() if name not in ignored}, ignored


async def run(directory: Path, port_base: int) -> None:
    """Run a stack until Ctrl-C."""
    for name in ("NO_PROXY", "no_proxy"):  # all servers are on this machine
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOOPBACK)))
    settings, ignored = _service_settings(os.environ)
    if ignored:
        print(f"The stack sets these itself; yours are ignored: {', '.join(ignored)}", flush=True)
    stack = Stack(directory, Ports.from_base(port_base), settings=settings)
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
  console    {stack.api}/console
  REST       {e["api"]}          health: {e["api"]}/health
  WebSocket  {e["ws"]}/ws/client/<client_id>   dashboard: {e["ws"]}/ws/dashboard
  NATS       {e["nats"]}   over WebSocket: {e["nats_ws"]}
  sign in    {e["user"]} / {e["password"]}
  endpoints  {stack.directory / "endpoints.json"}
  logs       {stack.directory / "logs"}

It listens on loopback only, and its signing keys are public: never expose it.
Ctrl-C stops everything.
"""
