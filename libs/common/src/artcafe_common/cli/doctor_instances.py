"""The doctor's checks of every process of the services, which all reply on the bus."""

import time

from artcafe_common.bus.client import Bus
from artcafe_common.bus.request_many import request_many
from artcafe_common.cli.doctor_clocks import ClockOffsets
from artcafe_common.cli.doctor_results import CheckResult, health_result, warn
from artcafe_common.contracts.health import INSTANCE_SIGNALS, InstanceReport

# A process examines its dependencies before it replies, for at most 1.5 s.
QUIET_S = 2.0
REPLY_TIMEOUT_S = 4.0


async def check_instances(bus: Bus, service: str, clocks: ClockOffsets) -> list[CheckResult]:
    """One result for each process of a service; raises ServiceUnavailable if the broker is not available."""
    requested_at = time.time()
    noted = 0

    def note(received: list[InstanceReport]) -> bool:
        nonlocal noted
        for report in received[noted:]:
            clocks.record(instance_name(report), report.clock.timestamp(), requested_at)
        noted = len(received)
        return True

    reports = await request_many(
        bus,
        INSTANCE_SIGNALS[service](),
        InstanceReport,
        expected=note,
        quiet_s=QUIET_S,
        within_s=REPLY_TIMEOUT_S,
    )
    return [_result(report) for report in sorted(reports, key=instance_name)]


def check_versions(results: list[CheckResult]) -> list[CheckResult]:
    """A warning if the instances run several versions."""
    versions = sorted({result.version for result in results if result.version})
    if len(versions) < 2:  # noqa: PLR2004 - one is right
        return []
    detail = f"the instances run {len(versions)} versions: {', '.join(versions)}"
    return [warn("versions", detail, "complete the upgrade, or roll it back (docs/operate/upgrade.md)")]


def instance_name(report: InstanceReport) -> str:
    """The service with the server it runs on, and the worker's number if there are several."""
    worker = f" worker {report.worker}" if report.worker else ""
    return f"{report.service} on {report.health.server_id}{worker}"


def _result(report: InstanceReport) -> CheckResult:
    health = report.health
    version = f"{health.version} {health.revision}".strip()
    where = f"on {health.server_id}" + (f" worker {report.worker}" if report.worker else "")
    return health_result(report.service, health.status, health.checks, version, where=where)
