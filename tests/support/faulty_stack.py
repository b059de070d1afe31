"""A stack whose services see DynamoDB through a proxy that lags, conflicts and throttles as the real one does."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec

from artcafe_common.dev.stack import LOOPBACK, READY_WITHIN_S, Stack
from artcafe_common.dev.supervisor import Program
from support.dynamo_proxy.faults import BUSY, Faults
from support.stack import free_port

_PROXY = "dynamo_proxy"
_TESTS = Path(__file__).parents[1]


class FaultyStack(Stack):
    """A stack that starts with `BUSY` faults; `set_faults` replaces them."""

    faults = BUSY

    def __init__(self, directory, ports, *, settings=None):
        super().__init__(directory, ports, settings=settings)
        self._port = free_port()

    @property
    def aws_url(self):
        return f"http://{LOOPBACK}:{self._port}"

    def start(self, name):
        super().start(name)
        if name == "moto" and _PROXY not in self.supervisor.names:
            target = f"http://{LOOPBACK}:{self.ports.moto}"
            faults = msgspec.json.encode(self.faults).decode()
            self.supervisor.start(
                Program(
                    name=_PROXY,
                    command=[sys.executable, "-m", f"support.{_PROXY}", str(self._port), target, faults],
                    environ={**os.environ, "PYTHONPATH": str(_TESTS), "ARTCAFE_STACK": str(self.directory)},
                    log=self.directory / "logs" / f"{_PROXY}.log",
                )
            )

    async def wait_for_servers(self):
        await super().wait_for_servers()
        await self.wait_for_proxy()

    async def provision(self):
        await self.wait_for_proxy()
        await super().provision()

    async def wait_for_proxy(self):
        """Wait until the proxy and what is behind it answer."""
        async with asyncio.timeout(READY_WITHIN_S):
            while True:
                with suppress(httpx.HTTPError):
                    async with httpx.AsyncClient(timeout=5) as http:
                        if (await http.get(f"{self.aws_url}/moto-api/")).is_success:
                            return
                await asyncio.sleep(0.03)

    async def set_faults(self, faults):
        """Replace the faults; counting starts again."""
        async with httpx.AsyncClient(timeout=5) as http:
            body = msgspec.json.encode(faults)
            (await http.put(f"{self.aws_url}/faults", content=body)).raise_for_status()

    async def count_faults(self):
        """How often each fault was shown."""
        async with httpx.AsyncClient(timeout=5) as http:
            return (await http.get(f"{self.aws_url}/faults")).raise_for_status().json()


class QuietStack(FaultyStack):
    """A stack behind the proxy without faults, until a test sets some."""

    faults = Faults()
