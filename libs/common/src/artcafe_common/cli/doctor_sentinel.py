"""The doctor's check of the Sentinels, and of the replicas that they know."""

from pathlib import Path

from artcafe_common.cli.doctor_results import REQUEST_TIMEOUT_S, CheckResult, fail, ok, warn
from artcafe_common.sentinel_url import SentinelUrl, is_sentinel_url, parse_sentinel_url
from artcafe_common.storage.sentinels import SentinelReport, ask_sentinels

CHECK = "sentinels"


async def check_sentinels(url: str, ca_file: Path | None = None) -> list[CheckResult]:
    """Check that every Sentinel answers and names the same primary, and that its replicas follow it."""
    if not is_sentinel_url(url):
        return []
    target = parse_sentinel_url(url)
    return conclude(target, await ask_sentinels(target, ca_file, timeout_s=REQUEST_TIMEOUT_S))


def conclude(target: SentinelUrl, reports: list[SentinelReport]) -> list[CheckResult]:
    """The results of what the Sentinels say."""
    answering = [each for each in reports if not each.failure]
    silent = [each for each in reports if each.failure]
    results = []
    if silent:
        detail = ", ".join(f"{each.address} ({each.failure})" for each in silent)
        result = warn if answering else fail
        remedy = "redis-server /etc/redis/sentinel.conf --sentinel   # on that host; or correct REDIS_URL"
        results.append(
            result(CHECK, f"{len(answering)} of {len(reports)} Sentinels answer; not {detail}", remedy)
        )
    if not answering:
        return results
    primaries = {each.primary for each in answering}
    if len(primaries) > 1:
        detail = ", ".join(f"{each.address}: {each.primary}" for each in answering)
        remedy = f"wait for the end of a failover, then on those that differ: sentinel reset {target.name}"
        results.append(fail(CHECK, f"the Sentinels name several primaries ({detail})", remedy))
    if no_quorum := next((each.no_quorum for each in answering if each.no_quorum), ""):
        remedy = f"start the other Sentinels   # sentinel ckquorum {target.name}"
        results.append(fail(CHECK, f"a lost primary would not be replaced: {no_quorum}", remedy))
    results += _check_replicas(target, answering)
    if not results:
        (primary,) = primaries
        detail = f"{len(answering)} Sentinels, primary {primary}, replicas {', '.join(answering[0].replicas)}"
        results.append(ok(CHECK, detail))
    return results


def _check_replicas(target: SentinelUrl, answering: list[SentinelReport]) -> list[CheckResult]:
    # A Sentinel that was cut off may be wrong about a replica; all of them are not.
    replicas: dict[str, str] = {}
    for report in answering:
        for address, problem in report.replicas.items():
            replicas[address] = problem and replicas.get(address, problem)
    if not replicas:
        primary = answering[0].primary
        remedy = f"redis-cli -h REPLICA replicaof {primary.replace(':', ' ')}"
        return [warn(CHECK, f"the primary {primary} has no replica, so its loss is an outage", remedy)]
    remedy = f"start it, or if it is gone for good, on every Sentinel: sentinel reset {target.name}"
    return [
        warn(CHECK, f"the replica {address} {problem}", remedy)
        for address, problem in replicas.items()
        if problem
    ]
