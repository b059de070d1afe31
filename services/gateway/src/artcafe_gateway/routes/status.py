"""REST route: the state of the platform, as an organization's people may see it."""

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from artcafe_common import __version__
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.health import HealthReport
from artcafe_common.contracts.tenancy.channels import ListChannels
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.stream import get_stream_state
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.health_report import HealthLookup

OK, UNAVAILABLE, NONE = "ok", "unavailable", "none"
# What people notice when a part does not work.
CONSEQUENCES = {
    "gateway": "Some connections and calls fail.",
    "identity": "People, clients and agents cannot log in; those that are connected stay connected.",
    "tenancy": "The organization, its clients, channels and activity cannot be read or changed.",
    "presence": "Who is online may be out of date.",
    "metering": "Usage may be out of date; messages are counted later.",
    "nats": "Messages are not delivered, and publishing is refused.",
    "dynamodb": "Nothing can be created or changed, and some lists fail.",
    "redis": "Calls with an Idempotency-Key are refused; rates are not limited; counts follow later.",
    "openid_provider": "People cannot log in.",
    "history": "Messages of channels cannot be stored or read; publishing on channels is refused.",
}
REMEDIES = {
    "gateway": "The SDKs reconnect by themselves; repeat what failed.",
    "history": "Publish again with the same message_id or Idempotency-Key: it is stored once.",
}
REMEDY = "Repeat what failed in a minute; the operators see the reason in `artcafe doctor`."


class NamedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a service or a store: ok, degraded or unavailable."""

    name: str
    status: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A part that does not work: `warn` while it does some of its work, else `fail`."""

    check: str
    status: str
    detail: str
    remedy: str


class PlatformStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the services and stores, without reasons and addresses, at most a second old.

    `history` is that of the stream with the organization's channel messages: ok, unavailable, or none without any.
    `findings` say of each part that does not work what people notice, and what to do.
    """

    status: str
    version: str
    services: list[NamedStatus]
    stores: list[NamedStatus]
    history: str
    findings: list[Finding]


class StatusController(Controller):
    """The state of the platform, as an organization's people may see it."""

    path = "/status"
    tags = ["status"]

    @get("/", summary="Get the state of the platform")
    async def status(
        self,
        gateway: NamedDependency[Gateway],
        health: NamedDependency[HealthLookup],
        tenant_user: NamedDependency[TenantUser],
    ) -> PlatformStatus:
        report = await health.get()
        reports: dict[str, HealthReport] = report.services or {}
        services = [NamedStatus(name=name, status=each.status) for name, each in reports.items()]
        stores = _stores(reports)
        history = await _check_history(gateway, tenant_user)
        return PlatformStatus(
            status=report.status,
            version=__version__,
            services=services,
            stores=stores,
            history=history,
            findings=_find([*stores, *services, NamedStatus(name="history", status=history)]),
        )


def _stores(reports: dict[str, HealthReport]) -> list[NamedStatus]:
    """What the services say of the stores that they use; the reasons stay inside."""
    found: dict[str, bool] = {}
    for report in reports.values():
        for name, result in report.checks.items():
            if name != "service":
                found[name] = found.get(name, True) and result == OK
    return [NamedStatus(name=name, status=OK if ok else UNAVAILABLE) for name, ok in sorted(found.items())]


def _find(parts: list[NamedStatus]) -> list[Finding]:
    return [
        Finding(
            check=part.name,
            status="fail" if part.status == UNAVAILABLE else "warn",
            detail=CONSEQUENCES.get(part.name, ""),
            remedy=REMEDIES.get(part.name, REMEDY),
        )
        for part in parts
        if part.status not in (OK, NONE)
    ]


async def _check_history(gateway: Gateway, tenant_user: TenantUser) -> str:
    caller = tenant_user.caller
    try:
        channels = (await gateway.bus.call(ListChannels(limit=1), caller=caller)).channels
        if not channels or not channels[0].has_history:
            return NONE
        bridge = await gateway.bridges.acquire(caller.tenant_id)
        try:
            await get_stream_state(bridge)
        finally:
            gateway.bridges.release(bridge)
    except CommandError:
        return UNAVAILABLE
    return OK
