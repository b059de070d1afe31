"""Connects a service to the bus: broker connection, endpoints, health checks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import nats.errors

from artcafe_common import __version__, clock
from artcafe_common.broker.connect import connect
from artcafe_common.broker.renewable import RenewableNats
from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Command, Signal
from artcafe_common.bus.endpoints import EndpointServer
from artcafe_common.bus.errors import CommandError
from artcafe_common.bus.request_many import reply_to_requests
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.health import (
    HEALTH_COMMANDS,
    INSTANCE_SIGNALS,
    HealthReport,
    InstanceReport,
)
from artcafe_common.lifecycle import wait_until_available
from artcafe_common.metrics.listener import serve_metrics
from artcafe_common.metrics.process import ProcessMetrics
from artcafe_common.retrying import deadline
from artcafe_common.settings import ServiceSettings, SettingsError, StoreSettings
from artcafe_common.tracing import Tracer, TracingNotInstalled, create_tracer

CHECK_TIMEOUT_S = 1.5
CHECK_INTERVAL_S = 1.0
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
    metrics: ProcessMetrics
    checks: dict[str, Check]
    on_reconnect: list[Hook]
    readiness: "Readiness"

    async def serve_when_ready(self, endpoints: object) -> None:
        """Wait until every check succeeds, then serve the commands."""
        for name, check in self.checks.items():
            await wait_until_available(name, check)
        await self.serve(endpoints)

    async def serve(self, endpoints: object) -> None:
        """Serve the commands; the service is ready then."""
        await self.server.serve(endpoints)
        self.readiness.serving = True


class Readiness:
    """Whether this process answers commands; asked over HTTP by the supervisor of its host or container."""

    def __init__(self, settings: ServiceSettings, checks: dict[str, Check], nc: RenewableNats) -> None:
        self.serving = False
        self._settings = settings
        self._checks = checks
        self._nc = nc
        self._report: HealthReport | None = None
        self._checked_at = 0.0
        self._checking = asyncio.Lock()

    async def respond(self) -> tuple[int, bytes]:
        """A status and a body; the stores are asked at most once a second."""
        async with self._checking:
            now = asyncio.get_running_loop().time()
            if self._report is None or now - self._checked_at >= CHECK_INTERVAL_S:
                self._report = await check_health(self._settings, self._checks)
                self._checked_at = now
            report = self._report
        own = {
            "nats": "ok" if self._nc.is_connected else "not connected",
            "commands": "ok" if self.serving else "not served yet",
        }
        ready = report.status == "ok" and all(result == "ok" for result in own.values())
        status = "ok" if ready else "unavailable"
        report = msgspec.structs.replace(report, status=status, checks={**own, **report.checks})
        return 200 if ready else 503, msgspec.json.encode(report)


@asynccontextmanager
async def run_service(
    name: str, settings: StoreSettings, checks: dict[str, Check]
) -> AsyncIterator[ServiceRuntime]:
    """Connect to the platform's account as service `name`; on exit, finish running commands and disconnect.

    Its metrics and health are served before the broker is reachable.
    """
    metrics = ProcessMetrics(name, settings.revision)
    nc = RenewableNats()
    readiness = Readiness(settings, checks, nc)
    async with (
        serve_metrics(metrics.registry, settings.metrics_host, settings.metrics_port, readiness.respond),
        open_tracer(name, settings) as tracer,
        _connected(name, settings, checks, metrics, readiness, nc, tracer) as runtime,
    ):
        yield runtime


@asynccontextmanager
async def open_tracer(service: str, settings: ServiceSettings) -> AsyncIterator[Tracer]:
    """The tracer of a process; on exit, the queued spans are sent. Raises SettingsError."""
    try:
        tracer = create_tracer(
            service,
            settings.server_id,
            endpoint=settings.traces_endpoint,
            ratio=settings.traces_ratio,
            per_second=settings.traces_per_second,
        )
    except TracingNotInstalled as error:
        raise SettingsError(f"ARTCAFE_TRACES_ENDPOINT: {error}") from None
    try:
        yield tracer
    finally:
        await tracer.close_within(DRAIN_TIMEOUT_S)


@asynccontextmanager
async def _connected(
    name: str,
    settings: StoreSettings,
    checks: dict[str, Check],
    metrics: ProcessMetrics,
    readiness: Readiness,
    nc: RenewableNats,
    tracer: Tracer,
) -> AsyncIterator[ServiceRuntime]:
    hooks: list[Hook] = []

    async def on_reconnect() -> None:
        for hook in hooks:
            await hook()

    metrics.add_connections(platform=nc)
    credentials = settings.keys_dir / f"{name}.creds"
    await connect(
        settings.nats_url, credentials, name=name, on_reconnect=on_reconnect, nc=nc, ca_file=settings.ca_file
    )
    server = EndpointServer(nc, name, tracer=tracer)
    bus = Bus(nc, service=name, tracer=tracer, stream_replicas=settings.stream_replicas)
    metrics.add_bus(bus)
    metrics.add_endpoints(server)
    try:
        await server.start()

        async def get_health(_request: Command[HealthReport]) -> HealthReport:
            return await check_health(settings, checks)

        await server.add_endpoint(HEALTH_COMMANDS[name], get_health)
        await report_instance(bus, name, lambda: check_health(settings, checks))
        yield ServiceRuntime(
            bus=bus,
            server=server,
            metrics=metrics,
            checks=checks,
            on_reconnect=hooks,
            readiness=readiness,
        )
        readiness.serving = False
        await server.stop()
    finally:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(nc.drain(), DRAIN_TIMEOUT_S)


async def report_instance(
    bus: Bus,
    service: str,
    check: Callable[[], Awaitable[HealthReport]],
    *,
    instance: str = "",
    worker: str = "",
) -> None:
    """Reply to the operator's requests for every process of a service."""
    instance, started_at = instance or clock.new_id(), clock.now()

    async def report(_request: Signal) -> InstanceReport:
        health = await check()
        return InstanceReport(
            service=service,
            instance=instance,
            worker=worker,
            started_at=started_at,
            clock=clock.now(),
            health=health,
        )

    await reply_to_requests(bus, INSTANCE_SIGNALS[service], report)


async def check_health(settings: ServiceSettings, checks: dict[str, Check]) -> HealthReport:
    """Run every check, each with a deadline of CHECK_TIMEOUT_S."""
    results = dict(zip(checks, await run_together(*map(_run_check, checks.values())), strict=True))
    status = "ok" if all(result == "ok" for result in results.values()) else "degraded"
    return HealthReport(
        status=status,
        version=__version__,
        revision=settings.revision,
        server_id=settings.server_id,
        checks=results,
    )


async def _run_check(check: Check) -> str:
    try:
        # A store that is called again until the deadline says in time what is wrong.
        with deadline(CHECK_TIMEOUT_S):
            await asyncio.wait_for(asyncio.ensure_future(check()), CHECK_TIMEOUT_S)
    except TimeoutError:
        return "no answer"
    except CommandError as error:
        return error.detail
    except OSError:
        return "not reachable"
    return "ok"
