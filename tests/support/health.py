"""Waits for a stack to recover."""

import httpx

from support.waiting import eventually


async def is_healthy(tenant):
    """Whether the gateway reports every service as healthy."""
    try:
        return (await tenant.http.get("/health")).json()["status"] == "ok"
    except (httpx.HTTPError, ValueError):
        return False


async def is_ready(tenant):
    """Whether the gateway accepts requests."""
    try:
        return (await tenant.http.get("/health/ready")).status_code == 200
    except httpx.HTTPError:
        return False


async def wait_until_healthy(tenant):
    await eventually(lambda: is_healthy(tenant), within=30)
