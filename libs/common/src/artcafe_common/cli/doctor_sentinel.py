"""The doctor's check of the Sentinels, and of the replicas that they know."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import redis.exceptions
from redis.asyncio import Redis

from artcafe_common.cli.doctor_results import REQUEST_TIMEOUT_S, CheckResult, error_reason, fail, ok, warn
from artcafe_common.sentinel_url import SentinelUrl, is_sentinel_url, parse_sentinel_url
from artcafe_common.storage.redis_pool import create_sentinel

CHECK = "sentinels"


class SentinelReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one Sentinel says; `failure` if it does not answer, `no_quorum` if it could not replace the primary."""

    address: str
    primary: str = ""
    replicas: dict[str, str] = {}
    no_quorum: str = ""
    failure: str = ""


async def check_sentinels(url: str, ca_file: Path | None = None) -> list[CheckResult]:
    """Check that every Sentinel answers and names the same primary, and that its replicas follow it."""
    if not is_sentinel_url(url):
        return []
    target = parse_sentinel_url(url)
    sentinel = create_sentinel(target, ca_file, timeout_s=REQUEST_TIMEOUT_S)
    try:
        reports = await asyncio.gather(
            *(
                _ask(client, f"{host}:{port}", target.name)
                for client, (host, port) in zip(sentinel.sentinels, target.sentinels, strict=True)
            )
        )
    finally:
        await sentinel.aclose()
    return conclude(target, reports)


async def _ask(sentinel: Redis, address: str, name: str) -> SentinelReport:
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            primary: Any = await sentinel.sentinel_master(name)
            replicas: Any = await sentinel.sentinel_slaves(name)
            no_quorum = await _check_quorum(sentinel, name)
    except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
        return SentinelReport(address=address, failure=error_reason(error))
    return SentinelReport(
        address=address,
        primary=_address(primary),
        replicas={_address(each): _problem(each) for each in replicas},
        no_quorum=no_quorum,
    )


async def _check_quorum(sentinel: Redis, name: str) -> str:
    try:
        await sentinel.sentinel_ckquorum(name)
    except redis.exceptions.ResponseError as error:
        return str(error)
    return ""


def _address(server: dict[str, Any]) -> str:
    return f"{server['ip']}:{server['port']}"


def _problem(replica: dict[str, Any]) -> str:
    if replica["is_sdown"] or replica["is_disconnected"]:
        return "does not answer"
    if replica.get("master-link-status") != "ok":
        return "does not follow the primary"
    return ""


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
