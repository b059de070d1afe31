"""The number of processors that this process may use."""

import math
import os
from contextlib import suppress
from pathlib import Path

# A container's share of the processors: the time it may use in each period, or `max`.
CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def count_processors() -> int:
    """The processors that this process may run on, at least 1, and no more than its container's share of them."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = CGROUP_LIMIT.read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    return max(count, 1)
