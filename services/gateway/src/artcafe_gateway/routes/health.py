"""REST routes: health, readiness and metrics."""

import asyncio
from typing import Any

import msgspec
from litestar import Controller, MediaType, Response, get
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common import __version__
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.health import HEALTH_COMMANDS, HealthReport
from artcafe_common.runtime import check_health
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.request import caller_of

HEALTH_DEADLINE_S = 1.5


class SystemHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The health of every service; `status` is "ok" when all of them are."""

    status: str
    version: str
    server_id: str
    services: dict[str, HealthReport]


class HealthController(Controller):
    """Health and metrics. These routes need no authentication and contain no tenant data."""

    path = ""
    tags = ["health"]

    @get("/health", summary="Get the health of every service", extra_statuses=[503])
    async def health(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> Response[SystemHealth]:
        names = list(HEALTH_COMMANDS)
        own, *reports = await asyncio.gather(
            _check_gateway(gateway), *(_check_service(gateway, name, caller_of(request)) for name in names)
        )
        services = {"gateway": own, **dict(zip(names, reports, strict=True))}
        healthy = all(report.status == "ok" for report in services.values())
        system_health = SystemHealth(
            status="ok" if healthy else "degraded",
            version=__version__,
            server_id=gateway.settings.server_id,
            services=services,
        )
        return Response(system_health, status_code=200 if gateway.bus.nc.is_connected else 503)

    @get("/health/live", summary="Liveness of this process")
    async def live(self) -> dict[str, str]:
        return {"status": "ok"}

    @get("/health/ready", summary="Readiness of this process", extra_statuses=[503])
    async def ready(self, gateway: NamedDependency[Gateway]) -> Response[dict[str, str]]:
        ready = gateway.bus.nc.is_connected and gateway.sessions.accepting
        return Response({"status": "ok" if ready else "unavailable"}, status_code=200 if ready else 503)

    @get("/metrics", summary="Prometheus metrics", plain_text=True, media_type=MediaType.TEXT)
    async def metrics(self, gateway: NamedDependency[Gateway]) -> Response[bytes]:
        return Response(
            gateway.metrics.render(sockets=len(gateway.sessions), bridges=gateway.bridges),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )


async def _check_gateway(gateway: Gateway) -> HealthReport:
    report = await check_health(gateway.settings.server_id, {"redis": gateway.redis.check})
    nats = "ok" if gateway.bus.nc.is_connected else "not connected"
    return msgspec.structs.replace(
        report,
        status=report.status if gateway.bus.nc.is_connected else "unavailable",
        checks={"nats": nats, **report.checks},
    )


async def _check_service(gateway: Gateway, name: str, caller: CallerContext) -> HealthReport:
    if not gateway.bus.nc.is_connected:
        return _unavailable("the message broker is not available")
    try:
        return await gateway.bus.call(
            HEALTH_COMMANDS[name](), caller=caller, deadline_s=HEALTH_DEADLINE_S, wait_for_recovery=False
        )
    except CommandError as error:
        return _unavailable(error.detail)


def _unavailable(reason: str) -> HealthReport:
    return HealthReport(status="unavailable", version="", server_id="", checks={"service": reason})
