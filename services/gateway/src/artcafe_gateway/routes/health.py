"""REST routes: health, readiness and metrics."""

from typing import Any

from litestar import Controller, MediaType, Response, get
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.bus.errors import Forbidden
from artcafe_common.metrics.registry import CONTENT_TYPE
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.health_report import HealthLookup, SystemHealth, may_see_details


class HealthController(Controller):
    """Health and metrics, under /api/v1 and at the root of the host alike. These routes need no authentication and contain no tenant data."""

    path = ""
    tags = ["health"]

    @get("/health", summary="Get the health of every service", extra_statuses=[503])
    async def health(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        health: NamedDependency[HealthLookup],
    ) -> Response[SystemHealth]:
        report = await health.get()
        status_code = 200 if gateway.bus.nc.is_connected else 503
        if not may_see_details(request, gateway):
            report = SystemHealth(status=report.status)
        return Response(report, status_code=status_code)

    @get("/health/live", summary="Liveness of this process")
    async def live(self) -> dict[str, str]:
        return {"status": "ok"}

    @get("/health/ready", summary="Readiness of this process", extra_statuses=[503])
    async def ready(self, gateway: NamedDependency[Gateway]) -> Response[dict[str, str]]:
        ready = gateway.bus.nc.is_connected and gateway.sessions.accepting
        return Response({"status": "ok" if ready else "unavailable"}, status_code=200 if ready else 503)

    @get(
        "/metrics",
        summary="Prometheus metrics",
        plain_text=True,
        media_type=MediaType.TEXT,
        errors=[Forbidden],
    )
    async def metrics(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> Response[bytes]:
        if not may_see_details(request, gateway):
            raise Forbidden("metrics are for loopback and the addresses in ARTCAFE_MONITORING_ADDRESSES")
        return Response(await gateway.metrics.render(), media_type=CONTENT_TYPE)
