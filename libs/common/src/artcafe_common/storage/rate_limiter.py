"""Token buckets that all instances share: so many at once, and as many again in a period."""

import math
from collections.abc import Mapping
from importlib.resources import files

import msgspec

from artcafe_common.storage.redis_client import Shared


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """So many in so many seconds."""

    limit: int
    period_s: int = 60


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a bucket said: how many are left, when it is full again, and when there is one again."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int


class Buckets:
    """Buckets by name; each is forgotten when it is full."""

    def __init__(self, shared: Shared) -> None:
        script = files("artcafe_common.storage") / "lua" / "take.lua"
        self._take = shared.script(script.read_text())

    async def take(self, wanted: Mapping[str, Allowance], *, patient: bool = False) -> Verdict:
        """Take one from every bucket or from none, and tell of the one with least; StoreUnavailable."""
        args = [n for each in wanted.values() for n in (each.limit, each.period_s * 1000)]
        rows = await self._take.run([f"rate:{name}" for name in wanted], args, patient=patient)
        verdicts = [
            Verdict(
                allowed=bool(allowed),
                limit=each.limit,
                remaining=remaining,
                reset_s=math.ceil(reset_ms / 1000),
                retry_after_s=max(1, math.ceil(retry_ms / 1000)),
            )
            for each, (allowed, remaining, reset_ms, retry_ms) in zip(wanted.values(), rows, strict=True)
        ]
        return min(verdicts, key=lambda one: (one.allowed, -one.retry_after_s, one.remaining))
