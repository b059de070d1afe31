"""Which process used how much of a processor meanwhile, and what that says about the limit."""

import asyncio
import time
from contextlib import suppress

import psutil

NEARLY_ALL = 0.85
WORTH_NAMING = 0.1
WORTH_TELLING = 0.05
MAIN = ("gateway", "nats-server", "generator", "publisher")


class Meter:
    """CPU seconds of named processes between `start` and `stop`."""

    def __init__(self, pids):
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = {}
        self._at = 0.0
        self._busy = 0.0

    def start(self):
        self._before = {name: _used(process) for name, process in self._processes.items()}
        self._busy, self._at = _busy(), time.monotonic()

    def stop(self):
        took = max(time.monotonic() - self._at, 1e-6)
        shares = {
            name: (_used(process) - self._before[name]) / took for name, process in self._processes.items()
        }
        strangers = (_busy() - self._busy) / took - sum(shares.values())
        return Shares(shares, max(0.0, strangers))


class Shares:
    """Shares of one processor, by process."""

    def __init__(self, shares, strangers):
        self.shares = shares
        self.strangers = strangers

    @property
    def ours(self):
        """All of this stack together."""
        return sum(self.shares.values())

    @property
    def limit(self):
        """The busiest process if it used a processor up, else where the time went."""
        cores = psutil.cpu_count()
        name, share = max(self.shares.items(), key=lambda each: each[1])
        total = sum(self.shares.values()) + self.strangers
        if total > NEARLY_ALL * cores and share < NEARLY_ALL:
            return "all processors"
        if name == "nats-server" and share < NEARLY_ALL * cores and total < NEARLY_ALL * cores:
            return "none"
        return name if share >= NEARLY_ALL else "none"

    @property
    def text(self):
        named = [name for name, share in self.shares.items() if share >= WORTH_NAMING]
        told = [f"{name} {self.shares[name]:.0%}" for name in (*MAIN, *named) if self.shares.get(name)]
        rest = sum(share for name, share in self.shares.items() if name not in (*MAIN, *named))
        told = list(dict.fromkeys(told))
        if rest >= WORTH_TELLING:
            told.append(f"others {rest:.0%}")
        if self.strangers >= WORTH_TELLING:
            told.append(f"not of this {self.strangers:.0%}")
        return ", ".join(told)

    def __str__(self):
        return f"{self.limit} ({self.text})"


def _used(process):
    """CPU seconds of a process and of those that it started, such as the gateway's workers."""
    used = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            used += times.user + times.system
    return used


def _busy():
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + getattr(times, "irq", 0) + getattr(times, "softirq", 0)


class PeakMemory:
    """The largest resident size of a process while entered."""

    def __init__(self, pid):
        self._process = psutil.Process(pid)
        self.peak = 0
        self._task = None

    async def __aenter__(self):
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_error):
        self._task.cancel()

    async def _watch(self):
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(0.05)
