"""What the Sentinels say about the Redis servers that they watch."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import redis.exceptions
from redis.asyncio import Redis

from artcafe_common.concurrency import run_together
from artcafe_common.sentinel_url import SentinelUrl
from artcafe_common.storage.redis_pool import create_sentinel


class SentinelReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one Sentinel says. `failure` if it does not answer, `no_quorum` if the primary could not be replaced.

    `replicas` are the addresses of the replicas, each with what is wrong with it.
    """

    address: str
    primary: str = ""
    replicas: dict[str, str] = {}
    no_quorum: str = ""
    failure: str = ""


async def ask_sentinels(
    target: SentinelUrl, ca_file: Path | None, *, timeout_s: float
) -> list[SentinelReport]:
    """A report of each Sentinel, which has this time to answer."""
    sentinel = create_sentinel(target, ca_file, timeout_s=timeout_s)
    try:
        reports = await run_together(
            *(
                _ask(client, f"{host}:{port}", target.name, timeout_s)
                for client, (host, port) in zip(sentinel.sentinels, target.sentinels, strict=True)
            )
        )
    finally:
        await sentinel.aclose()
    return list(reports)


async def _ask(sentinel: Redis, address: str, name: str, timeout_s: float) -> SentinelReport:
    try:
        async with asyncio.timeout(timeout_s):
            primary: Any = await sentinel.sentinel_master(name)
            replicas: Any = await sentinel.sentinel_slaves(name)
            no_quorum = await _check_quorum(sentinel, name)
    except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
        return SentinelReport(address=address, failure=str(error) or type(error).__name__)
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
