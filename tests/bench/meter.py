"""Measures the CPU time of each process, and from that the bottleneck of a run."""

import asyncio
import time
from contextlib import suppress

import psutil

SATURATED = 0.85
SERVICE = ("gateway", "identity", "tenancy", "presence", "metering", "nats-server", "redis")
ALWAYS_LISTED = ("gateway", "nats-server", "generator", "publisher")
MIN_SHARE_LISTED = 0.1
MIN_SHARE_SUMMED = 0.05


class CpuMeter:
    """CPU time of named processes between `start` and `stop`."""

    def __init__(self, pids):
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = {}
        self._started_at = 0.0
        self._machine_before = 0.0

    def start(self):
        self._before = {name: _cpu_seconds(process) for name, process in self._processes.items()}
        self._machine_before, self._started_at = _machine_cpu_seconds(), time.monotonic()

    def stop(self):
        elapsed = max(time.monotonic() - self._started_at, 1e-6)
        shares = {
            name: (_cpu_seconds(process) - self._before[name]) / elapsed
            for name, process in self._processes.items()
        }
        machine = (_machine_cpu_seconds() - self._machine_before) / elapsed
        return CpuShares(shares, max(0.0, machine - sum(shares.values())), elapsed)


class CpuShares:
    """CPU shares by process; 1 is one processor."""

    def __init__(self, shares, unrelated, seconds=1.0):
        self.shares = shares
        self.unrelated = unrelated
        self.seconds = seconds

    def microseconds_per(self, count, kind):
        """The processor time of what serves a kind of peer for each of `count` messages; it does not depend on the generator."""
        return self.seconds_of(kind) * 1e6 / count if count else 0.0

    def seconds_of(self, kind):
        """The processor time of the processes that serve a kind of peer."""
        parts = (kind,) if kind == "centrifugo" else ("gateway", "nats-server")
        return sum(share * self.seconds for name, share in self.shares.items() if name.startswith(parts))

    def seconds_of_service(self):
        """The processor time of the processes that an installation has, by name: without moto and load generators."""
        return {name: share * self.seconds for name, share in self.shares.items() if name in SERVICE}

    @property
    def total(self):
        """The share of the whole stack."""
        return sum(self.shares.values())

    @property
    def bottleneck(self):
        """The busiest process if it saturated one processor, "all processors", or "none"."""
        cores = psutil.cpu_count()
        name, share = max(self.shares.items(), key=lambda each: each[1])
        total = self.total + self.unrelated
        if total > SATURATED * cores and share < SATURATED:
            return "all processors"
        # nats-server is multi-threaded: it can use more than one processor.
        if name == "nats-server" and share < SATURATED * cores and total < SATURATED * cores:
            return "none"
        return name if share >= SATURATED else "none"

    @property
    def breakdown(self):
        busy = [name for name, share in self.shares.items() if share >= MIN_SHARE_LISTED]
        listed = [name for name in dict.fromkeys((*ALWAYS_LISTED, *busy)) if self.shares.get(name)]
        parts = [f"{name} {self.shares[name]:.0%}" for name in listed]
        rest = sum(share for name, share in self.shares.items() if name not in listed)
        if rest >= MIN_SHARE_SUMMED:
            parts.append(f"others {rest:.0%}")
        if self.unrelated >= MIN_SHARE_SUMMED:
            parts.append(f"not of this {self.unrelated:.0%}")
        return ", ".join(parts)

    def __str__(self):
        return f"{self.bottleneck} ({self.breakdown})"


def _cpu_seconds(process):
    """CPU seconds of a process and its children, such as the gateway's workers."""
    seconds = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            seconds += times.user + times.system
    return seconds


def _machine_cpu_seconds():
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + getattr(times, "irq", 0) + getattr(times, "softirq", 0)


class PeakMemory:
    """The largest resident set size of a process while the context is open."""

    def __init__(self, pid):
        self._process = psutil.Process(pid)
        self.peak = 0
        self._task = None

    async def __aenter__(self):
        self._task = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_error):
        self._task.cancel()

    async def _poll(self):
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(0.05)
