"""Retries of optimistic writes: read, write on condition, and read again after a conflict."""

import asyncio
import random

MAX_ATTEMPTS = 10
BACKOFF_S = 0.02


async def backoff(attempt: int = 0) -> None:
    """Wait a random time, up to BACKOFF_S per attempt, so that the concurrent change can finish."""
    await asyncio.sleep(random.uniform(0, BACKOFF_S * (attempt + 1)))
