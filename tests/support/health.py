"""Waits for a stack to recover."""

import asyncio

import httpx

from artcafe_gateway.http.health_report import AGE_S
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
    """Wait until a look at the services, made after this call, finds all of them healthy."""
    # A report may be of an earlier look.
    await asyncio.sleep(AGE_S)
    await eventually(lambda: is_healthy(tenant), within=30)
