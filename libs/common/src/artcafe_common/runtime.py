"""Connects a service to the bus: broker connection, endpoints, health checks."""

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
DRAIN_TIMEOUT_S = 3
Check = Callable[[], Awaitable[object]]
Hook = Callable[[], Awaitable[None]]


class ServiceRuntime(msgspec.Struct, frozen=True, kw_only=True):
    """A service that is connected to the bus.

    It answers its health command at once, and its other commands after `serve_when_ready`; until then, callers
    get ServiceUnavailable. The hooks in `on_reconnect` run after each reconnect, since events may have been missed.
    """

    bus: Bus
    server: EndpointServer
    checks: dict[str, Check]
    on_reconnect: list[Hook]

    async def serve_when_ready(self, endpoints: object) -> None:
        """Wait until every check succeeds, then serve the commands."""
        for name, check in self.checks.items():
            await wait_until_available(name, check)
        await self.server.serve(endpoints)


@asynccontextmanager
async def run_service(
    name: str, settings: ServiceSettings, checks: dict[str, Check]
) -> AsyncIterator[ServiceRuntime]:
    """Connect to the platform's account as service `name`; on exit, finish running commands and disconnect."""
    hooks: list[Hook] = []

    async def on_reconnect() -> None:
        for hook in hooks:
            await hook()

    nc = await connect(
        settings.nats_url, settings.keys_dir / f"{name}.creds", name=name, on_reconnect=on_reconnect
    )
    server = EndpointServer(nc, name)
    try:
        await server.start()

        async def get_health(_request: Command[HealthReport]) -> HealthReport:
            return await check_health(settings.server_id, checks)

        await server.add_endpoint(HEALTH_COMMANDS[name], get_health)
        yield ServiceRuntime(bus=Bus(nc, service=name), server=server, checks=checks, on_reconnect=hooks)
        await server.stop()
    finally:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(nc.drain(), DRAIN_TIMEOUT_S)


async def check_health(server_id: str, checks: dict[str, Check]) -> HealthReport:
    """Run every check, each with a deadline of CHECK_TIMEOUT_S."""
    results = dict(zip(checks, await asyncio.gather(*map(_run_check, checks.values())), strict=True))
    status = "ok" if all(result == "ok" for result in results.values()) else "degraded"
    return HealthReport(status=status, version=__version__, server_id=server_id, checks=results)


async def _run_check(check: Check) -> str:
    try:
        await asyncio.wait_for(asyncio.ensure_future(check()), CHECK_TIMEOUT_S)
    except TimeoutError:
        return "no answer"
    except CommandError as error:
        return error.detail
    except OSError:
        return "not reachable"
    return "ok"
