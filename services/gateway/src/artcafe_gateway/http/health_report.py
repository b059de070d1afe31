"""The health of the system, looked up at most once a second, and who may see its details."""

import ipaddress

import msgspec
import structlog

from artcafe_common import __version__
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import CommandError
from artcafe_common.cache import Cache
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.health import HEALTH_COMMANDS, HealthReport
from artcafe_common.runtime import check_health
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.request import HttpConnection, client_ip

HEALTH_DEADLINE_S = 1.5
AGE_S = 1.0
log = structlog.get_logger()


class SystemHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The health of every service; `status` is "ok" when all of them are.

    Everything but `status` is only for loopback and the addresses in `ARTCAFE_MONITORING_ADDRESSES`.
    """

    status: str
    version: str | msgspec.UnsetType = msgspec.UNSET
    revision: str | msgspec.UnsetType = msgspec.UNSET
    server_id: str | msgspec.UnsetType = msgspec.UNSET
    services: dict[str, HealthReport] | msgspec.UnsetType = msgspec.UNSET


class HealthLookup:
    """Asks every service for its health; concurrent and frequent questions share one look."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._reports: Cache[None, SystemHealth] = Cache(size=1, age_s=AGE_S)

    async def get(self) -> SystemHealth:
        """The health of the system, at most AGE_S old."""
        return await self._reports.get(None, self._look)

    async def _look(self) -> SystemHealth:
        gateway = self._gateway
        names = list(HEALTH_COMMANDS)
        own, *reports = await run_together(
            _check_self(gateway), *(_check_service(gateway, name) for name in names)
        )
        services = {"gateway": own, **dict(zip(names, reports, strict=True))}
        healthy = all(report.status == "ok" for report in services.values())
        return SystemHealth(
            status="ok" if healthy else "degraded",
            version=__version__,
            revision=gateway.settings.revision,
            server_id=gateway.settings.server_id,
            services=services,
        )


def may_see_details(connection: HttpConnection, gateway: Gateway) -> bool:
    """Whether the request comes from loopback or one of the addresses that the operator trusts."""
    text = client_ip(connection)
    if not text:
        return False
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or any(
        address in network for network in gateway.settings.parse_monitoring_addresses()
    )


async def check_gateway(gateway: Gateway) -> HealthReport:
    """The health of this process."""
    report = await check_health(gateway.settings, {"redis": gateway.redis.check})
    nats = "ok" if gateway.bus.nc.is_connected else "not connected"
    return msgspec.structs.replace(
        report,
        status=report.status if gateway.bus.nc.is_connected else "unavailable",
        checks={"nats": nats, **report.checks},
    )


async def _check_self(gateway: Gateway) -> HealthReport:
    try:
        return await check_gateway(gateway)
    except Exception as error:
        log.error("health_check_failed", exc_info=error)
        return _unavailable("the check failed")


async def _check_service(gateway: Gateway, name: str) -> HealthReport:
    if not gateway.bus.nc.is_connected:
        return _unavailable("the message broker is not available")
    try:
        return await gateway.bus.call(
            HEALTH_COMMANDS[name](),
            caller=CallerContext.service("gateway"),
            deadline_s=HEALTH_DEADLINE_S,
            wait_for_recovery=False,
        )
    except CommandError as error:
        return _unavailable(error.detail)


def _unavailable(reason: str) -> HealthReport:
    return HealthReport(status="unavailable", version="", server_id="", checks={"service": reason})
