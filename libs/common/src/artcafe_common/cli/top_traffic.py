"""What `artcafe top` shows: rates by gateway and by organization, from totals that the services report."""

import time
from collections.abc import Iterable

import msgspec

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.bus.request_many import request_many
from artcafe_common.contracts.broker import BrokerReport
from artcafe_common.contracts.gateway import GatewayTraffic, GatewayTrafficRequested, TenantTraffic
from artcafe_common.contracts.metering import DirectTraffic, GetBrokerReport, GetDirectTraffic

QUIET_S = 0.2
WITHIN_S = 1.0
DEADLINE_S = 2.0
_COUNTERS = ("messages", "deliveries", "bytes_in", "bytes_out", "api_calls")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The totals at one time. `problems` says what could not be read."""

    at: float
    gateways: list[GatewayTraffic] = []
    direct: list[DirectTraffic] = []
    broker: BrokerReport | None = None
    problems: list[str] = []


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line: a gateway process or an organization. Rates are per second, `slow_consumers` a total."""

    name: str
    sockets: int = 0
    direct: int = 0
    unsent_bytes: int = 0
    messages: float = 0.0
    deliveries: float = 0.0
    bytes_in: float = 0.0
    bytes_out: float = 0.0
    api_calls: float = 0.0
    slow_consumers: int = 0


async def read_snapshot(bus: Bus, limit: int) -> Snapshot:
    """Ask all gateways and metering."""
    caller, problems = CallerContext.service("admin"), []
    gateways: list[GatewayTraffic] = []
    direct: list[DirectTraffic] = []
    broker = None
    try:
        gateways = await request_many(
            bus,
            GatewayTrafficRequested(limit=limit),
            GatewayTraffic,
            expected=bool,
            quiet_s=QUIET_S,
            within_s=WITHIN_S,
        )
        if not gateways:
            problems.append("no gateway answers")
    except CommandError as error:
        problems.append(f"gateways: {error.detail}")
    try:
        report = await bus.call(
            GetDirectTraffic(limit=limit), caller=caller, deadline_s=DEADLINE_S, wait_for_recovery=False
        )
        direct = report.tenants
        broker = await bus.call(
            GetBrokerReport(), caller=caller, deadline_s=DEADLINE_S, wait_for_recovery=False
        )
    except CommandError as error:
        problems.append(f"metering: {error.detail}")
    return Snapshot(at=time.monotonic(), gateways=gateways, direct=direct, broker=broker, problems=problems)


def gateway_rows(before: Snapshot | None, after: Snapshot) -> list[Row]:
    """One row for each gateway process, by name."""
    seconds, earlier = (
        _seconds(before, after),
        {each.instance: each for each in before.gateways} if before else {},
    )
    rows = []
    for each in after.gateways:
        known = earlier.get(each.instance)
        name = f"{each.server_id}/{each.worker}" if each.worker else each.server_id
        rows.append(_row(name, [each.total], [known.total] if known else [], seconds))
    return sorted(rows, key=lambda row: row.name)


def tenant_rows(before: Snapshot | None, after: Snapshot) -> list[Row]:
    """One row for each organization that is connected or active, the busiest first."""
    seconds = _seconds(before, after)
    # A process that started or ended in between has no rates.
    common = (
        {each.instance for each in after.gateways} & {each.instance for each in before.gateways}
        if before
        else set()
    )
    now_by_tenant = _by_tenant(after.gateways, common)
    before_by_tenant = _by_tenant(before.gateways if before else (), common)
    current = _by_tenant(after.gateways, {each.instance for each in after.gateways})
    direct = {each.tenant_id: each for each in after.direct}
    direct_before = {each.tenant_id: each for each in before.direct} if before else {}
    rows = []
    for tenant_id in {**current, **direct}:
        row = _row(tenant_id, now_by_tenant.get(tenant_id, []), before_by_tenant.get(tenant_id, []), seconds)
        own, known = direct.get(tenant_id, DirectTraffic(tenant_id="")), direct_before.get(tenant_id)
        rows.append(
            msgspec.structs.replace(
                row,
                sockets=sum(each.sockets for each in current.get(tenant_id, [])),
                unsent_bytes=sum(each.unsent_bytes for each in current.get(tenant_id, [])),
                slow_consumers=sum(each.slow_consumers for each in current.get(tenant_id, [])),
                direct=own.connections,
                messages=row.messages + _rate(own, known, "messages", seconds),
                deliveries=row.deliveries + _rate(own, known, "deliveries", seconds),
                bytes_in=row.bytes_in + _rate(own, known, "bytes_in", seconds),
                bytes_out=row.bytes_out + _rate(own, known, "bytes_out", seconds),
            )
        )
    connected = [
        row for row in rows if row.sockets or row.direct or row.messages or row.deliveries or row.api_calls
    ]
    return sorted(
        connected, key=lambda row: (-row.messages - row.deliveries, -row.sockets - row.direct, row.name)
    )


def total_row(rows: Iterable[Row]) -> Row:
    """The sum of rows."""
    total = {field: 0 for field in Row.__struct_fields__ if field != "name"}
    for row in rows:
        for field in total:
            total[field] += getattr(row, field)
    return Row(name="all", **total)


def _seconds(before: Snapshot | None, after: Snapshot) -> float:
    return max(after.at - before.at, 0.001) if before else 0.0


def _by_tenant(gateways: Iterable[GatewayTraffic], instances: set[str]) -> dict[str, list[TenantTraffic]]:
    found: dict[str, list[TenantTraffic]] = {}
    for gateway in gateways:
        for each in gateway.tenants if gateway.instance in instances else ():
            found.setdefault(each.tenant_id, []).append(each)
    return found


def _row(name: str, now: list[TenantTraffic], before: list[TenantTraffic], seconds: float) -> Row:
    rates: dict[str, float] = {}
    for counter in _COUNTERS:
        grown = sum(getattr(each, counter) for each in now) - sum(getattr(each, counter) for each in before)
        rates[counter] = max(grown, 0) / seconds if seconds and before else 0.0
    return Row(
        name=name,
        sockets=sum(each.sockets for each in now),
        unsent_bytes=sum(each.unsent_bytes for each in now),
        slow_consumers=sum(each.slow_consumers for each in now),
        messages=rates["messages"],
        deliveries=rates["deliveries"],
        bytes_in=rates["bytes_in"],
        bytes_out=rates["bytes_out"],
        api_calls=rates["api_calls"],
    )


def _rate(now: DirectTraffic, before: DirectTraffic | None, counter: str, seconds: float) -> float:
    # The totals are those of the open connections, and shrink when one closes.
    if before is None or not seconds:
        return 0.0
    return float(max(getattr(now, counter) - getattr(before, counter), 0)) / seconds
