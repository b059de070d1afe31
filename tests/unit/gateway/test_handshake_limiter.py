"""The handshake limiter: bounded concurrency, in order, and no lost slots."""

import asyncio

import pytest

from artcafe_gateway.limits import handshake_limiter
from artcafe_gateway.limits.handshake_limiter import RETRY_AFTER_S, HandshakeLimiter, ServerBusy


class Handshakes:
    """Handshakes that end when `finish` is called."""

    def __init__(self, limiter):
        self._limiter = limiter
        self.running = []
        self.started = []
        self._finish = asyncio.Event()

    async def run(self, number):
        async with self._limiter.slot():
            self.started.append(number)
            self.running.append(number)
            await self._finish.wait()
            self.running.remove(number)

    def finish(self):
        self._finish.set()


async def test_concurrent_handshakes_are_bounded_and_start_in_order():
    handshakes = Handshakes(HandshakeLimiter(3))
    tasks = [asyncio.create_task(handshakes.run(number)) for number in range(10)]
    await asyncio.sleep(0.001)
    assert handshakes.running == [0, 1, 2]
    handshakes.finish()
    await asyncio.gather(*tasks)
    assert handshakes.started == list(range(10))


async def test_waiting_too_long_is_rejected(monkeypatch):
    monkeypatch.setattr(handshake_limiter, "WAIT_S", 0.005)
    limiter = HandshakeLimiter(1)
    async with limiter.slot():
        with pytest.raises(ServerBusy) as error:
            async with limiter.slot():
                pass
    assert error.value.retry_after_s == RETRY_AFTER_S


async def test_rejected_and_failed_handshakes_release_their_slot(monkeypatch):
    monkeypatch.setattr(handshake_limiter, "WAIT_S", 0.005)
    limiter = HandshakeLimiter(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with limiter.slot():
                raise ZeroDivisionError
        async with limiter.slot():
            with pytest.raises(ServerBusy):
                async with limiter.slot():
                    pass
    async with limiter.slot():
        pass


async def test_cancelled_waiter_takes_no_slot():
    limiter = HandshakeLimiter(1)
    handshakes = Handshakes(limiter)
    tasks = [asyncio.create_task(handshakes.run(number)) for number in range(3)]
    await asyncio.sleep(0.001)
    tasks[1].cancel()
    await asyncio.sleep(0.001)
    handshakes.finish()
    await asyncio.gather(tasks[0], tasks[2])
    assert handshakes.started == [0, 2]
