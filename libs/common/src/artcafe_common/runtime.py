"""What the four bus services have in common: a broker connection, a bus, endpoints, health."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import nats.errors

from artcafe_common import __version__
from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Command
from artcafe_common.bus.endpoints import EndpointServer
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.health import HEALTH_COMMANDS, HealthReport
from artcafe_common.lifecycle import wait_until_available
from artcafe_common.settings import ServiceSettings

CHECK_TIMEOUT_S = 1.5
Check = Callable[[], Awaitable[object]]
Hook = Callable[[], Awaitable[None]]


class ServiceRuntime(msgspec.Struct, frozen=True, kw_only=True):
    """A service's place on the bus.

    Its health is answered from the start; its commands only once `serve` was called, so that
    callers are told "not available" while it waits for its stores. What `on_reconnect` holds runs whenever the
    broker was away: news may have been missed.
    """

    bus: Bus
    server: EndpointServer
    checks: dict[str, Check]
    on_reconnect: list[Hook]

    async def serve_when_ready(self, endpoints: object) -> None:
        """Wait for every store that `checks` names, then answer the commands."""
        for name, check in self.checks.items():
            await wait_until_available(name, check)
        await self.server.serve(endpoints)


@asynccontextmanager
async def run_service(
    name: str, settings: ServiceSettings, checks: dict[str, Check]
) -> AsyncIterator[ServiceRuntime]:
    """Join the platform's account as service `name`; leaving drains what is in flight."""
    hooks: list[Hook] = []

    async def reconnected() -> None:
        for hook in hooks:
            await hook()

    nc = await connect(
        settings.nats_url, settings.keys_dir / f"{name}.creds", name=name, on_reconnect=reconnected
    )
    server = EndpointServer(nc, name)
    try:
        await server.start()

        async def report(_request: Command[HealthReport]) -> HealthReport:
            return await health(settings.server_id, checks)

        await server.add_endpoint(HEALTH_COMMANDS[name], report)
        yield ServiceRuntime(bus=Bus(nc, service=name), server=server, checks=checks, on_reconnect=hooks)
        await server.stop()
    finally:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(nc.drain(), 3)


async def health(server_id: str, checks: dict[str, Check]) -> HealthReport:
    """Run every check, each with its own short deadline."""
    results = dict(zip(checks, await asyncio.gather(*map(_probe, checks.values())), strict=True))
    status = "ok" if all(result == "ok" for result in results.values()) else "degraded"
    return HealthReport(status=status, version=__version__, server_id=server_id, checks=results)


async def _probe(check: Check) -> str:
    try:
        await asyncio.wait_for(asyncio.ensure_future(check()), CHECK_TIMEOUT_S)
    except TimeoutError:
        return "no answer"
    except CommandError as error:
        return error.detail
    except OSError:
        return "not reachable"
    return "ok"
