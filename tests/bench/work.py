"""The processor time that the service spends on something, including what it does after the answer."""

import asyncio
from collections import Counter

BASELINE_S = 1.0


class WorkMeter:
    """Processor time of each process of the service, beyond what it uses while nothing happens."""

    def __init__(self, environment):
        self._environment = environment
        self._idle = Counter()

    async def prepare(self):
        """Wait until earlier work is finished, and measure the idle service."""
        await self._environment.wait_until_idle()
        meter = self._environment.meter()
        meter.start()
        await asyncio.sleep(BASELINE_S)
        shares = meter.stop()
        self._idle = Counter(
            {name: used / shares.seconds for name, used in shares.seconds_of_service().items()}
        )
        self._meter = self._environment.meter()
        self._meter.start()

    async def finish(self):
        """The seconds by process since `prepare`, once what was begun is finished."""
        await self._environment.wait_until_idle()
        shares = self._meter.stop()
        used = shares.seconds_of_service()
        return {name: max(0.0, used[name] - self._idle[name] * shares.seconds) for name in used}


def describe_cost(seconds, count):
    """The milliseconds of processor time per unit, in total and by process."""
    each = {name: used / count * 1000 for name, used in seconds.items()}
    parts = [f"{name} {ms:.2f}" for name, ms in sorted(each.items(), key=lambda item: -item[1]) if ms >= 0.02]
    return f"{sum(each.values()):.2f} ms ({', '.join(parts)})"
