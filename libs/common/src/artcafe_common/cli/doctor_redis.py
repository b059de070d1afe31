"""The doctor's check of Redis."""

import time
from pathlib import Path
from typing import Any

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.cli.doctor_clocks import ClockOffsets
from artcafe_common.cli.doctor_results import (
    REQUEST_TIMEOUT_S,
    CheckResult,
    default_remedy,
    error_reason,
    fail,
    ok,
    warn,
)
from artcafe_common.storage.redis_client import RedisClient
from artcafe_common.storage.redis_errors import RedisState

_CLI = 'redis-cli -u "$REDIS_URL"'
_REMEDIES = {
    RedisState.BUSY: f"{_CLI} script kill",
    RedisState.LOADING: f"{_CLI} info persistence   # loading_eta_seconds says how long to wait",
    RedisState.REFUSED: "set REDIS_URL with a user that may run every command; see maxclients",
    RedisState.NO_PRIMARY: f"{_CLI} replicaof no one   # or set REDIS_URL to the primary",
    RedisState.READ_ONLY: f"{_CLI} replicaof no one   # or set REDIS_URL to the primary",
    RedisState.OUT_OF_MEMORY: f"{_CLI} config set maxmemory 2gb   # and maxmemory in redis.conf",
    RedisState.DISK_FAILED: f"free space on Redis's disk, then: {_CLI} bgsave",
    RedisState.NO_REPLICAS: f"start the replicas, or: {_CLI} config set min-replicas-to-write 0",
}


async def check_redis(url: str, clocks: ClockOffsets, ca_file: Path | None = None) -> list[CheckResult]:
    """Check that Redis accepts writes, keeps them on disk, and has a limit of memory at which it evicts nothing."""
    # Other checks load libraries meanwhile, which delays this one.
    redis = RedisClient(url, timeout_s=REQUEST_TIMEOUT_S, ca_file=ca_file)
    address = url.rpartition("@")[2].partition("?")[0]  # without passwords
    try:
        requested_at = time.time()
        clocks.record("redis", await redis.time(), requested_at)
        await redis.check(timeout_s=REQUEST_TIMEOUT_S)
        info = {
            key: value
            for section in ("persistence", "memory", "replication")
            for key, value in (await redis.info(section)).items()
        }
    except StoreUnavailable as error:
        remedy = _REMEDIES.get(redis.state) if redis.state else None
        return [fail("redis", f"{address}: {error_reason(error)}", remedy or default_remedy("redis"))]
    finally:
        await redis.close()
    return [_conclude(address, info)]


def _conclude(address: str, info: dict[str, Any]) -> CheckResult:
    if not info.get("aof_enabled"):
        remedy = f"{_CLI} config set appendonly yes   # and appendonly yes in redis.conf"
        return warn("redis", f"{address}: AOF is disabled, a crash loses counts", remedy)
    if info.get("aof_last_write_status") != "ok":
        remedy = f"free space on Redis's disk, then: {_CLI} bgrewriteaof"
        return fail("redis", f"{address}: cannot write the AOF", remedy)
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        remedy = f"{_CLI} config set maxmemory-policy noeviction   # and in redis.conf"
        return warn("redis", f"{address}: the policy {policy} evicts counts when memory is short", remedy)
    if not info.get("maxmemory"):
        remedy = f"{_CLI} config set maxmemory 1gb   # and maxmemory in redis.conf"
        return warn("redis", f"{address}: its memory has no limit", remedy)
    return _check_replicas(address, info)


def _check_replicas(address: str, info: dict[str, Any]) -> CheckResult:
    replicas = [info[f"slave{number}"] for number in range(info.get("connected_slaves", 0))]
    behind = [f"{each['ip']}:{each['port']}" for each in replicas if each["state"] != "online"]
    if behind:
        remedy = f"{_CLI} info replication   # until its state is online; else see the replica's log"
        return warn("redis", f"{address}: replicas are not up to date: {', '.join(behind)}", remedy)
    # A primary keeps its backlog for an hour after the last replica has left.
    if not replicas and info.get("repl_backlog_active"):
        remedy = f"start the replica   # or, if there is to be none: {_CLI} config set repl-backlog-ttl 1"
        return warn("redis", f"{address}: it had a replica, and has none now", remedy)
    detail = f", replicas: {len(replicas)}" if replicas else ""
    return ok("redis", f"{address}, AOF enabled{detail}")
